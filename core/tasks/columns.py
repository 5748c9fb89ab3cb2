"""Labelled records of files and hub datasets: which columns are read, labels as they come, answers where they stand."""

from __future__ import annotations

import contextlib
import difflib
import json
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from core.config import DataSpec, TaskSpec
from core.data import movie_reviews, sources
from core.data.formats import listed_names, require_characters
from core.data.hub_datasets import open_splits
from core.data.tables import READERS, Table, open_file
from core.data.text_files import HEAD
from core.errors import DataError, SetField
from core.system import reach
from core.system.plain_data import PlainDataError, parse_json

Kind = Literal["classification", "question_answering"]
MEASURED = ("validation", "validation_matched", "dev", "test")  # splits of hub datasets, the first that is there
PAIRS = (("sentence1", "sentence2"), ("premise", "hypothesis"), ("question1", "question2"), ("question", "sentence"), ("text_a", "text_b"),
         ("text1", "text2"))
TEXTS = ("text", "sentence", "review", "content", "document", "comment", "tweet", "body")
LABELS = ("label", "labels", "sentiment", "class", "category", "target")
ANSWERS = ("answers", "answer")
MOST_LABELS = 1000
MOST_VALUES = 2_000_000  # in a file of SQuAD's own format; its largest has 1.4 million
DEEPEST = 3  # answers inside each other: a list, of objects, of lists
UNLABELLED = -1  # what hub datasets hold where a declared label is kept back


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a context.

    Attributes:
        answers: (text, character of the context at which it begins) each; any of them is right.
    """

    number: str
    text: str
    context: str
    answers: tuple[tuple[str, int], ...]


# ---------------------------------------------------------------------------------------------------- tables


def source_tables(spec: TaskSpec) -> tuple[Table, Table | None, str]:
    """Return what is learnt from; what is measured on, or None where it is held out of the first; and how messages call it."""
    if sources.is_hub_id(spec.source):
        splits = open_splits(DataSpec(source=spec.source, subset=spec.subset), "task")
        measured = spec.validation or next((name for name in MEASURED if name in splits), None)
        for name in (spec.split, measured):
            if name is not None and name not in splits:
                raise DataError(f"'{spec.source}' has no split '{name}'.", f"Its splits are: {', '.join(splits)}.",
                                "Set task.split and task.validation to two of them.",
                                field="task.split" if name == spec.split else "task.validation")
        return splits[spec.split], splits[measured] if measured and measured != spec.split else None, f"'{spec.source}'"
    first = open_labelled(spec.source)
    return first, open_labelled(spec.validation) if spec.validation else None, first.origin


def open_labelled(source: str) -> Table:
    """Return a file, or SQuAD's own format. Raises DataError when it is neither."""
    if outside := reach.refusal(source):
        raise DataError(*outside)
    path = Path(os.path.expanduser(source))
    if path.suffix.lower() == ".json" and path.is_file() and _holds_object(path):
        return _squad_table(path)
    if path.suffix.lower() in READERS or os.path.exists(path) or re.search(r"[/\\]", source):
        return open_file(path)
    raise DataError(f"'{source}' is no file here and no hub id.",
                    f"Expected: {', '.join(map(repr, movie_reviews.HOUSE_SOURCES))}, a .csv, .tsv, .jsonl, .json or .parquet file, "
                    "or owner/name on the hub.",
                    "Check the path; it counts from the current folder.")


def _holds_object(path: Path) -> bool:
    """Return whether a .json file is one object, as SQuAD's, and not a list or one object on each line."""
    with path.open("rb") as file:
        beginning = file.read(HEAD).lstrip(b"\xef\xbb\xbf \t\r\n")
    return beginning.startswith(b"{") and (b'"data"' in beginning or b"\n" not in beginning.strip())


def _squad_table(path: Path) -> Table:
    """Read SQuAD's own file: articles of paragraphs of questions (1606.05250)."""
    try:
        articles = parse_json(path.read_text(encoding="utf-8-sig"), MOST_VALUES)["data"]
        records = [{"id": qa["id"], "context": paragraph["context"], "question": qa["question"], "answers": qa["answers"]}
                   for article in articles for paragraph in article["paragraphs"] for qa in paragraph["qas"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        said = error if isinstance(error, (PlainDataError, OSError)) else f"{type(error).__name__}: {error}"
        raise DataError(f"'{path}' cannot be read as a SQuAD file: {said}.", '{"data": [{"paragraphs": [...]}, ...]} was expected.',
                        "Give a .jsonl file with one object on each line.") from error
    return Table(f"'{path}'", ("id", "context", "question", "answers"),
                 lambda _columns: ((f"question {number}", record) for number, record in enumerate(records, start=1)), len(records),
                 path.stat().st_size)


def short_name(source: str) -> str:
    """Return how a source is called where there is no room for a path."""
    return source if sources.is_hub_id(source) else Path(source).stem


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


# ---------------------------------------------------------------------------------------------------- labels


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
        text, pair = _text(record, columns.text, where), _text(record, columns.pair, where) if columns.pair else None
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


def _text(record: Mapping[str, Any], column: str, where: str) -> str:
    value = record.get(column)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise DataError(f"{where}: '{column}' holds {type(value).__name__}.", "Text was expected.",
                        "Name the column that holds the text.", field="task.text_column")
    return require_characters(value, f"{where}: '{column}'")


# ---------------------------------------------------------------------------------------------------- questions


def questions(table: Table, columns: Columns) -> list[Question]:
    """Return every question with the places of its answers. Raises DataError for one without."""
    assert columns.pair is not None, "the column of the question is known where questions are answered"
    started = next((name for name in table.columns if name.lower() == "answer_start"), None)
    number = next((name for name in table.columns if name.lower() == "id"), None)
    wanted = tuple(name for name in (*columns.names, started, number) if name)
    found = []
    for count, (where, record) in enumerate(table.read(wanted), start=1):
        where = f"{table.origin}, {where}"
        context, question = _text(record, columns.text, where), _text(record, columns.pair, where)
        answers = tuple(_located(text, start, context, where)
                        for text, start in _answers(_plain(record.get(columns.label), ("{", "[{")),
                                                    _plain(record.get(started)) if started else None, where))
        if not answers:
            raise DataError(f"{where}: the question has no answer.", "Every question needs one that its context holds, as in SQuAD 1.1.",
                            "Remove questions without an answer.")
        found.append(Question(str(record.get(number) or count) if number else str(count), question.strip(), context, answers))
    return found


def _plain(value: Any, beginnings: tuple[str, ...] = ("",)) -> Any:
    """Return a cell as the value that it holds: tables of plain text can only hold numbers and objects as JSON."""
    if not isinstance(value, str) or not value.strip():
        return None if isinstance(value, str) else value
    if value.lstrip().startswith(beginnings):
        with contextlib.suppress(ValueError, RecursionError):  # an answer may begin with [ or {
            return json.loads(value)
    return value


def _answers(value: Any, start: Any, where: str, depth: int = 0) -> Iterator[tuple[str, int | None]]:
    """Yield (text, start or None) of each answer.

    They are read from {"text": [...], "answer_start": [...]}, a list of such pairs, or plain text with the cell of its start.

    Raises:
        DataError: anything else, and starts that are not one for each text.
    """
    if isinstance(value, Mapping):
        value, start = value.get("text"), value.get("answer_start")
        if not isinstance(value, (str, list, tuple)) or depth > DEEPEST:
            raise _no_answer(where, value)
    if value in (None, ""):
        return
    if isinstance(value, str) and value.strip():
        if start is not None and (not isinstance(start, int) or isinstance(start, bool) or start < 0):
            raise DataError(f"{where}: the answer '{value[:60]}' begins at {start!r}.",
                            "A whole number was expected, the characters of the context in front of it.",
                            "Correct that row, or leave the start out: the first place in the context counts then.")
        yield value, start
    elif isinstance(value, (list, tuple)):
        # Pairs bring their own starts; texts have a list of as many beside them, or none.
        bare = start in (None, [], ()) or all(isinstance(each, Mapping) for each in value)
        if not bare and not (isinstance(start, (list, tuple)) and len(start) == len(value)):
            raise DataError(f"{where}: {len(value)} answers have the starts {start!r}.", "A start for each text was expected.",
                            "Correct that row, or leave the starts out.")
        for text, begins in zip(value, [None] * len(value) if bare else start, strict=True):
            if not isinstance(text, (str, Mapping)):
                raise _no_answer(where, text)
            yield from _answers(text, begins, where, depth + 1)
    else:
        raise _no_answer(where, value)


def _no_answer(where: str, value: Any) -> DataError:
    return DataError(f"{where}: the answers hold {type(value).__name__}.",
                     'Text, or {"text": [...], "answer_start": [...]}, was expected.', "Correct that row, or remove it.")


def _located(text: str, start: int | None, context: str, where: str) -> tuple[str, int]:
    if start is None or context[start:start + len(text)] != text:
        found = context.find(text) if start is None else -1
        if found < 0:
            raise DataError(f"{where}: the answer '{text[:60]}' does not stand in the context{'' if start is None else f' at {start}'}.",
                            "An answer is a part of its context, letter by letter.", "Correct that row, or remove it.")
        start = found
    return text, start
