"""How good a model is, as far as it was measured here: the headline metric of its run, or the loss of its place in a chain."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from core.errors import ModelError
from core.metrics import METRICS
from core.models.checkpoints import Task
from workbench.screens.shared import results
from workbench.store import Store, chains
from workbench.store.records import Run

# task of the head -> its headline metrics, the first that was measured counts
HEADLINES: dict[Task, tuple[str, ...]] = {
    "causal": ("perplexity",), "masked": ("masked_accuracy", "perplexity"), "classification": ("accuracy",),
    "question_answering": ("answer_f1",), "image_classification": ("accuracy",)}
SUBJECTS = {"student": "student_after", "control": "control"}  # of a run's folders
LOSS = "cross_entropy"  # of chains


@dataclass(frozen=True, slots=True)
class Quality:
    """One number, its metric without ``eval/``, and both in words with the interval."""

    metric: str
    value: float
    words: str

    @property
    def rank(self) -> tuple[str, float]:
        """Orders models of one metric from the best to the worst; those of different metrics stay apart."""
        return self.metric, self.value if METRICS[f"eval/{self.metric}"].better == "lower" else -self.value


def of_run(store: Store, run: Run, part: str, task: Task) -> Quality | None:
    """Return what was measured of a run's student or control; None before it was, and for a student that is not trained yet."""
    measured = results.measurements(store, run).get(SUBJECTS.get(part, ""))
    return None if measured is None else _headline(measured, task)


def _headline(measured: results.Metrics, task: Task) -> Quality | None:
    name = next((name for name in HEADLINES[task] if name in measured), None)
    if name is None:
        return None
    counted = f", {measured['items']:,.0f} items" if "items" in measured else ""
    return Quality(name, measured[name], f"{METRICS[f'eval/{name}'].label} {results.cell(measured, name)}{counted}")


def of_chains(store: Store) -> dict[str, Quality]:
    """Return the held-out losses of the anchors of all chains and of the models created from them, by their references."""
    losses: dict[str, float] = {}
    for place in chains.places(store):
        if place.complete:
            with suppress(ModelError):  # damaged since: its page says so
                losses |= {f"{place.name}:{anchor.number}": anchor.validation_loss for anchor in place.open().anchors}
    for folder in chains.created_folders():
        created = chains.read_created(folder)
        if created is not None and "this" in created.losses:
            losses[folder.name] = created.losses["this"]
    return {name: Quality(LOSS, loss, f"held-out loss {loss:.3f} nats/token") for name, loss in losses.items()}
