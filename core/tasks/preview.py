"""What a fine-tuning would see of a labelled dataset: the first items, and how often each label occurs."""

from __future__ import annotations

from collections import Counter
from typing import Any

from core.config import TaskSpec
from core.tasks.data import Example, Question, data_warnings, load_task, of_type

CHARACTERS = 300  # of an item that are shown


def preview_task(spec: TaskSpec, rows: int = 5) -> dict[str, Any]:
    """Return the first training items and the counts of all labels, ready for JSON.

    Returns:
        name, kind: of the task; train_items, items: for training, and held out;
        labels: list of {"label", "train", "held_out"} in the order of the labels; empty for questions;
        rows: list of {"text", "label"}; of a question its text with the context, and its answer;
        warnings: sentences about the held-out items, as `core.tasks.data.data_warnings`.

    Raises:
        DataError, NetworkError: as `load_task`.
    """
    task = load_task(spec)
    found: dict[str, Any] = {"name": task.name, "kind": task.kind, "train_items": len(task.train), "items": len(task.validation),
                             "labels": [], "warnings": data_warnings(task)}
    if task.kind == "question_answering":
        questions = of_type(task.train[:rows], Question)
        return found | {"rows": [{"text": _cut(f"{each.text}\n{each.context}"), "label": each.answers[0][0]} for each in questions]}
    train, held_out = (Counter(item.label for item in of_type(part, Example)) for part in (task.train, task.validation))
    return found | {
        "labels": [{"label": label, "train": train[number], "held_out": held_out[number]} for number, label in enumerate(task.labels)],
        "rows": [{"text": _cut(item.text if item.pair is None else f"{item.text}\n{item.pair}"), "label": task.labels[item.label]}
                 for item in of_type(task.train[:rows], Example)]}


def _cut(text: str) -> str:
    return text if len(text) <= CHARACTERS else f"{text[:CHARACTERS].rstrip()} …"
