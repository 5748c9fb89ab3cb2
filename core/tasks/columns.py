"""Which columns of labelled records are read: the text, or a pair of texts, and the label or the answers."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from core.data.formats import listed_names, require_characters
from core.errors import DataError, SetField

Kind = Literal["classification", "question_answering"]
PAIRS = (("sentence1", "sentence2"), ("premise", "hypothesis"), ("question1", "question2"), ("question", "sentence"), ("text_a", "text_b"),
         ("text1", "text2"))
TEXTS = ("text", "sentence", "review", "content", "document", "comment", "tweet", "body")
LABELS = ("label", "labels", "sentiment", "class", "category", "target")
ANSWERS = ("answers", "answer")


@dataclass(frozen=True, slots=True)
class Columns:
    """What is read: `text` is the context and `pair` the question where questions are answered."""

    kind: Kind
    text: str
    pair: str | None
    label: str

    @property
    def names(self) -> tuple[str | None, ...]:
        """Return the names of text, pair and label column; None for one that is not there."""
        return self.text, self.pair, self.label


def choose(available: Sequence[str], kind: str, wanted: Sequence[str | None], origin: str) -> Columns:
    """Return the columns to read.

    Args:
        kind: as `TaskSpec.kind`.
        wanted: columns of text, second text and label that were requested.

    Raises:
        DataError: one of them is not there, or none is known by its name.
    """
    text, pair, label = wanted
    for setting, name in zip(("text_column", "pair_column", "label_column"), wanted, strict=True):
        if name is not None and name not in available:
            near = difflib.get_close_matches(name, available, n=1)
            raise DataError(f"{origin} has no column '{name}'.", f"Its columns are: {listed_names(available)}.",
                            f"Set task.{setting} to one of them.", field=f"task.{setting}",
                            suggestion=SetField(f"task.{setting}", near[0], guess=True) if near else None)
    by_name = {name.lower(): name for name in reversed(available)}
    answers = label or next((by_name[name] for name in ANSWERS if name in by_name), None)
    context, question = text or by_name.get("context"), pair or by_name.get("question")
    if context is not None and question is not None and answers is not None:
        if kind == "question_answering" or (kind == "auto" and answers.lower() in ANSWERS):
            return Columns("question_answering", context, question, answers)
    elif kind == "question_answering":
        raise _no_column(origin, available, "'context', 'question' and 'answers'")
    label = label or next((by_name[name] for name in LABELS if name in by_name), None)
    if label is None:
        raise _no_column(origin, available, f"a label: one of {', '.join(LABELS)}", "label")
    if text is None and pair is None:
        found = next((tuple(by_name[name] for name in names) for names in PAIRS if all(name in by_name for name in names)), None)
        text, pair = found or (next((by_name[name] for name in TEXTS if name in by_name and by_name[name] != label), None), None)
    if text is None:
        raise _no_column(origin, available, f"a text: one of {', '.join(TEXTS)}, or a pair as {' and '.join(PAIRS[0])}")
    return Columns("classification", text, pair, label)


def _no_column(origin: str, available: Sequence[str], expected: str, which: str = "text") -> DataError:
    return DataError(f"{origin} has the columns {listed_names(available) or '(none)'}.", f"Expected by name: {expected}.",
                     "Name it.", suggestion=SetField(f"task.{which}_column", available[0] if available else "review"))


def text_of(record: Mapping[str, Any], column: str, where: str) -> str:
    """Return the text in a column of a record, empty where there is none. Raises DataError for anything else."""
    value = record.get(column)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise DataError(f"{where}: '{column}' holds {type(value).__name__}.", "Text was expected.",
                        "Name the column that holds the text.", field="task.text_column")
    return require_characters(value, f"{where}: '{column}'")
