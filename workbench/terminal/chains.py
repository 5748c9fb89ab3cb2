"""The verb `interpolate`, and how chains are shown."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.chains.folder import FILE, Anchor, Chain, Target, house_chains
from core.errors import ConfigError
from core.models.dimensions import as_record
from core.system import units
from workbench.store import Store
from workbench.store.chains import place
from workbench.terminal import output

if TYPE_CHECKING:
    from core.chains.on_demand import GeneratedModel


def is_chain(reference: str) -> bool:
    """Return whether a reference names a chain that is not a run."""
    return reference in house_chains() or (Path(os.path.expanduser(reference)) / FILE).is_file()


def parameters(text: str) -> int:
    """Parse a parameter count: 4200000, 4.2M, 1.1B. Raises ConfigError."""
    factors = {"k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9}
    number, factor = (text[:-1], factors[text[-1].lower()]) if text and text[-1].lower() in factors else (text, 1)
    try:
        count = round(float(number.replace(",", "").replace("_", "")) * factor)
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"'--params {text}' was given.", "A number of parameters was expected, as 4.2M or 4200000.") from error
    if count < 1:
        raise ConfigError(f"'--params {text}' was given.", "A number above 0 was expected.")
    return count


def alpha(text: str) -> float | None:
    """Parse the weight of the smaller anchor; None for ``auto``. Raises ConfigError."""
    if text == "auto":
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ConfigError(f"'--alpha {text}' was given.",
                          "'auto' or a number from 0 (the larger anchor) to 1 (the smaller one) was expected.")
    return value


def interpolate(options: argparse.Namespace, store: Store) -> tuple[dict[str, Any], str]:
    """Create a model of any size; returns the JSON document and the text."""
    share = alpha(options.alpha)
    if (options.params is None) == (options.layers is None):
        raise ConfigError("No size was given." if options.params is None else "Two sizes were given: --params and --layers.",
                          "One of --params and --layers was expected.", "For example: --params 3M")
    if options.method == "substitution" and share is not None:
        raise ConfigError("--method substitution and --alpha were given.", "alpha belongs to interpolation.", "Leave one of them out.")
    chain = place(options.chain, store).open()
    target = chain.target(parameters=options.params and parameters(options.params), layers=options.layers, hidden=options.hidden,
                          feed_forward=options.feed_forward)
    method = None if options.method == "auto" else options.method
    from core.chains.on_demand import create

    created = create(chain, target, Path(os.path.expanduser(options.out)), method=method, alpha=share)
    return created_document(created, chain, options.out), f"{created_text(created, options.out)}\n\n{nearby_text(chain, target)}"


def created_document(created: GeneratedModel, chain: Chain, out: str) -> dict[str, Any]:
    """Return a created model and its baselines, as plain data."""
    large, small = (chain.anchors[number] for number in (created.target.larger_anchor, created.target.larger_anchor + 1))
    return {"chain": created.chain, "output_dir": str(Path(os.path.expanduser(out)).absolute()), "parameters": created.target.parameters,
            **shape_document(created.target.dimensions), "method": created.method, "alpha": created.alpha, "swapped": created.swapped,
            "bracket": [anchor_document(large), anchor_document(small)], "validation_loss": created.losses["this"],
            "baselines": {name: loss for name, loss in created.losses.items() if name != "this"}, "seconds": created.seconds}


def created_text(created: GeneratedModel, out: str) -> str:
    """Return the same as text."""
    sizes = created.target.dimensions
    substituted = ", ".join(map(str, created.swapped or ())) or "none"
    how = f"alpha {created.alpha:.3g}" if created.alpha is not None else f"layers substituted: {substituted}"
    rows = [(name.replace("_", " "), f"{loss:.4f}") for name, loss in created.losses.items()]
    return (f"{out}: {created.target.parameters:,} parameters, {sizes.layers} blocks x {sizes.hidden} x {sizes.intermediate_size}, "
            f"by {created.method} ({how}), {created.seconds:.2f} s\n\n{output.table(('MODEL', 'VALIDATION LOSS'), rows)}")


def nearby_text(chain: Chain, target: Target) -> str:
    """Return which sizes lie beside one, and the one within 3% that is expected to be better."""
    beside = " and ".join(f"{count:,}" for count in chain.neighbours(target) if count is not None)
    better = chain.better_nearby(target)
    offer = "" if better is None else (f"\nExpected to be better: --params {better.parameters} (loss {chain.attained(better):.3f}, "
                                       f"estimated from measured shapes, in place of {chain.attained(target):.3f})")
    return f"Next sizes: {beside} parameters{offer}"


def chain_document(chain: Chain) -> dict[str, Any]:
    """Return a chain with its anchors in descending size and its measured curve, as plain data."""
    return {"chain": chain.reference, "folder": str(chain.path), "aligned": chain.aligned,
            "anchors": [anchor_document(anchor) for anchor in chain.anchors], "curve": [as_record(point) for point in chain.curve],
            "config": chain.record["config"], "command": chain.record["command"]}


def chain_text(chain: Chain) -> str:
    """Return the same as text."""
    rows = [(f"{chain.reference}:{anchor.number}", units.count(anchor.parameters), anchor.dimensions.layers, anchor.dimensions.hidden,
             anchor.dimensions.intermediate_size, f"{anchor.validation_loss:.4f}",
             units.duration(anchor.seconds) if anchor.seconds else None)
            for anchor in chain.anchors]
    low, high = chain.anchors[-1].parameters, chain.anchors[0].parameters
    return "\n".join([
        output.table(("ANCHOR", "PARAMETERS", "LAYERS", "WIDTH", "INNER WIDTH", "VALIDATION LOSS", "TRAINED"), rows), "",
        f"Any size from {units.count(low)} to {units.count(high)}: "
        f"python -m workbench interpolate {chain.reference} --params N --out DIR"])


def anchor_document(anchor: Anchor) -> dict[str, Any]:
    """Return an anchor as plain data."""
    return {"number": anchor.number, "parameters": anchor.parameters, **shape_document(anchor.dimensions),
            "validation_loss": anchor.validation_loss, "tokens": anchor.tokens, "seconds": anchor.seconds}


def shape_document(sizes: Any) -> dict[str, int]:
    """Return a shape under the names of recipe keys."""
    return {"layers": sizes.layers, "hidden": sizes.hidden, "heads": sizes.heads, "key_value_heads": sizes.key_value_heads,
            "feed_forward": sizes.intermediate_size}
