"""Labels of classes as records hold them: words, or whole numbers that text files write as text."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from core.data.formats import require_characters
from core.data.tables import Table
from core.errors import DataError
from core.tasks.columns import Columns, text_of

MOST_LABELS = 1000
UNLABELLED = -1  # what hub datasets hold where a declared label is kept back


@dataclass(frozen=True, slots=True)
class Labelled:
    """An example whose label is as the source has it."""

    text: str
    pair: str | None
    label: Any
    where: str


def labelled(table: Table, columns: Columns) -> list[Labelled]:
    """Return every record with its label as it stands there; those whose declared label is kept back are left out. Raises DataError."""
    declared = columns.label in table.classes
    items = []
    for where, record in table.read(tuple(name for name in columns.names if name)):
        where = f"{table.origin}, {where}"
        text, pair = text_of(record, columns.text, where), text_of(record, columns.pair, where) if columns.pair else None
        label = record.get(columns.label)
        if declared and label in (None, UNLABELLED):
            continue
        if label is None or (isinstance(label, str) and not label.strip()):
            raise DataError(f"{where}: the label '{columns.label}' is missing.", "Every item needs one.",
                            "Complete that row, or remove it.")
        if not isinstance(label, (str, int, float)) or (isinstance(label, float) and not math.isfinite(label)):
            raise DataError(f"{where}: the label '{columns.label}' holds {label if isinstance(label, float) else type(label).__name__}.",
                            "A word or a whole number was expected.", "Name another column.", field="task.label_column")
        if text.strip() or (pair or "").strip():
            name = require_characters(label, f"{where}: the label '{columns.label}'").strip() if isinstance(label, str) else label
            items.append(Labelled(text, pair, name, where))
    return items


def as_classes(learnt: list[Labelled], measured: list[Labelled], column: str) -> tuple[list[Labelled], list[Labelled]]:
    """Convert labels that are all whole numbers, as text files hold them, to numbers. Labels that are written differently stay different.

    Text with a leading zero is a code, as 00123, and no number; nor are numbers of which one is written in two ways, as 1 and 1.0.

    Raises:
        DataError: text and numbers are mixed, or the numbers are measurements.
    """
    items = [*learnt, *measured]
    first: dict[bool, Labelled] = {}
    for item in items:
        first.setdefault(_number(item.label) is not None, item)
    if len(first) == 2:
        raise DataError(f"The labels in '{column}' mix text and numbers: {first[False].label!r} ({first[False].where}) and "
                        f"{first[True].label!r} ({first[True].where}).", "One kind of label was expected.",
                        "Write the same label the same way everywhere.")
    if False in first or not items:
        return learnt, measured
    fractional = next((item for item in items if not isinstance(item.label, int) and not float(item.label).is_integer()), None)
    if fractional is not None:
        raise DataError(f"The label '{column}' is a measurement: {fractional.label} ({fractional.where}).",
                        "Classes were expected; scores, as in STS-B, are not learnt here.", "Choose a dataset with classes.")
    written = {item.label for item in items if isinstance(item.label, str)}
    codes = any(re.match(r"[+-]?0\d", label) for label in written) or len(set(map(_as_integer, written))) < len(written)
    convert = _as_text if codes else _as_integer
    return _relabelled(learnt, convert), _relabelled(measured, convert)


def _relabelled(items: list[Labelled], label: Callable[[Any], Any]) -> list[Labelled]:
    return [replace(item, label=label(item.label)) for item in items]


def _as_text(label: Any) -> str:
    return label if isinstance(label, str) else f"{label:g}" if isinstance(label, float) else str(label)


def _as_integer(label: Any) -> int:
    return int(float(label)) if isinstance(label, str) and "." in label else int(label)


def _number(label: Any) -> float | None:
    if isinstance(label, str) and not re.fullmatch(r"[+-]?\d+(\.\d+)?", label):
        return None
    if isinstance(label, int):
        return label
    number = float(label)
    return number if math.isfinite(number) else None


def ordered_labels(learnt: Sequence[Labelled], measured: Sequence[Labelled], declared: Sequence[str] | None, column: str) -> list[Any]:
    """Return every label, in the order of the model's outputs."""
    if declared:
        return list(range(len(declared)))
    known = {item.label for item in learnt}
    strange = next((item for item in measured if item.label not in known), None)
    if strange is not None:
        raise DataError(f"The label {strange.label!r} ({strange.where}) stands nowhere in what is learnt from.",
                        f"Known are: {', '.join(map(repr, sorted(known)[:10]))}.",
                        "Write labels alike in both parts, and give each of them several items.")
    if len(known) > MOST_LABELS or (len(known) > 20 and len(known) > len(learnt) / 2):
        raise DataError(f"'{column}' holds {len(known):,} different labels in {len(learnt):,} items.",
                        f"At most {MOST_LABELS:,} classes, each with several items, were expected.",
                        "Name the column of the label.", field="task.label_column")
    return sorted(known)


def require_several(labels: Sequence[Any], column: str, origin: str) -> None:
    """Raise DataError for a single class."""
    if len(set(labels)) < 2:
        raise DataError(f"The label '{column}' of {origin} is {labels[0]!r} in all {len(labels):,} items that are learnt from.",
                        "At least two classes were expected: with one there is nothing to tell apart.",
                        "Choose another column or file, or raise task.max_train_items.", field="task.label_column")
