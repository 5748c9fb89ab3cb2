"""Where the page keeps its exports, and what is known of them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core import __version__
from core.export.exporting import Exported, read_exported
from core.models import compatibility
from core.models.checkpoints import weight_files
from core.system.units import format_bytes
from workbench import paths

if TYPE_CHECKING:
    from core.export.agreement import Agreement
    from core.models.catalog import ModelEntry

FORM = "onnx-int8"  # what a browser runs
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
        CompatibilityError: a model that is no masked language model.
        CorruptModelError: the folder of its export is damaged.
    """
    compatibility.require_task(entry, "masked")
    if entry.path is None:
        return None
    folder = export_folder(entry.name, entry.path)
    return Offer(entry, folder, read_exported(folder) if folder.is_dir() else None)


def export_folder(name: str, model: Path) -> Path:
    """Return the folder of the export of the model in a folder; changed weights and another release get another one."""
    marks = [__version__, *(f"{path.resolve()} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in weight_files(model))]
    stem = re.sub(r"[^A-Za-z0-9.]+", "-", re.split(r"[/\\]", name)[-1])[:40].strip("-.") or "model"
    return paths.exports_dir() / f"{stem}-{hashlib.sha256(' '.join(marks).encode()).hexdigest()[:12]}"


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
    return (f"{smallest.model} in int8 takes {format_bytes(figures.bytes)}, {ratio:.1f} times less than {whose}. "
            f"At {figures.agreement.positions} blanks "
            f"in held-out film reviews its most likely word is the same as in float32 {figures.agreement.top1:.1%} of the time.")
