"""Where the page keeps its exports, and what is known of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import CompatibilityError
from core.export.exporting import Exported, read_exported
from core.models.checkpoints import TASK_DESCRIPTIONS, Task
from core.system.units import format_bytes
from workbench.store.exports import FORM, export_folder

if TYPE_CHECKING:
    from core.export.agreement import Agreement
    from core.models.entries import ModelEntry

TASKS: tuple[Task, ...] = ("masked", "classification")  # whose exports run in the pane
NAMES = {"torch": "Transformers folder, run by torch", "onnx": "ONNX, float32", "onnx-int8": "ONNX, int8"}
HEAD = ("Model and form", "Size", "One text", "Same top-1", "Largest difference", "Mean difference")


@dataclass(frozen=True, slots=True)
class Offer:
    """A model of the page: its entry, the folder of its export, and the export's record if it was made."""

    entry: ModelEntry
    folder: Path
    made: Exported | None


def offer(entry: ModelEntry) -> Offer | None:
    """Return what the page has of a model; None of one that must be fetched first.

    Raises:
        CompatibilityError: a model that is neither a masked language model nor a classifier.
        CorruptModelError: the folder of its export is damaged.
    """
    if entry.task not in TASKS:
        raise CompatibilityError(f"'{entry.name}' {TASK_DESCRIPTIONS[entry.task]}.",
                                 "A model that predicts masked tokens, or classifies texts, was expected.",
                                 "Choose an encoder, or a classifier that was fine-tuned from one.")
    if entry.path is None:
        return None
    folder = export_folder(entry.name, entry.path)
    return Offer(entry, folder, read_exported(folder) if folder.is_dir() else None)


def rows(exports: list[Exported]) -> list[tuple[str, ...]]:
    """Every form of every export as cells: size, time of one text, agreement with torch."""
    return [(f"{made.model}\n{NAMES[form]}", format_bytes(figures.bytes), f"{figures.milliseconds:.1f} ms", *_agreement(figures.agreement))
            for made in exports for form, figures in made.forms.items()]


def _agreement(agreement: Agreement | None) -> tuple[str, str, str]:
    if agreement is None:
        return "–", "–", "–"
    return (f"{agreement.top1:.1%}", f"{agreement.largest_probability_difference:.2g}", f"{agreement.mean_probability_difference:.2g}")


def headline(exports: list[Exported]) -> str:
    """How much smaller the smallest int8 file is than the largest float32 folder, and how near it stays to its own model."""
    largest = max(exports, key=lambda made: made.forms["torch"].bytes)
    smallest = min(exports, key=lambda made: made.forms[FORM].bytes)
    figures = smallest.forms[FORM]
    assert figures.agreement is not None  # torch alone is not compared with itself
    ratio = largest.forms["torch"].bytes / figures.bytes
    whose = "its own float32 folder" if largest is smallest else f"the float32 folder of {largest.model}"
    where, what = (("texts of", "class") if smallest.task == "classification" else ("blanks in", "word"))
    return (f"{smallest.model} in int8 takes {format_bytes(figures.bytes)}, {ratio:.1f} times less than {whose}. "
            f"At {figures.agreement.positions} {where} "
            f"held-out film reviews its most likely {what} is the same as in float32 {figures.agreement.top1:.1%} of the time.")
