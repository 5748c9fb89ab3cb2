"""One check or ablation at a time: two would slow each other down."""

from __future__ import annotations

from workbench.errors import CheckError


def busy() -> str | None:
    """What runs now, as the beginning of a sentence; None while nothing does."""
    from workbench.checks import ablations, background  # both of them ask here before they start

    check = background.running()
    if check is not None:
        return f"{check.claim} is being checked"
    folder = ablations.running()
    return f"The ablation {folder.name} runs" if folder is not None else None


def require_turn() -> None:
    """Raise CheckError while something runs."""
    what = busy()
    if what is not None:
        raise CheckError(f"{what}.", "One check or ablation runs at a time: they would slow each other down.", "Wait for it, or stop it.")
