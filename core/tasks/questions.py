"""Questions about a context, and the places of their answers in it, in the forms in which SQuAD and tables hold them (1606.05250)."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from core.data.tables import Table
from core.errors import DataError
from core.tasks.columns import Columns, text_of

DEEPEST = 3  # answers inside each other: a list, of objects, of lists


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


def questions(table: Table, columns: Columns) -> list[Question]:
    """Return every question with the places of its answers. Raises DataError for one without."""
    assert columns.pair is not None, "the column of the question is known where questions are answered"
    started = next((name for name in table.columns if name.lower() == "answer_start"), None)
    number = next((name for name in table.columns if name.lower() == "id"), None)
    wanted = tuple(name for name in (*columns.names, started, number) if name)
    found = []
    for count, (where, record) in enumerate(table.read(wanted), start=1):
        where = f"{table.origin}, {where}"
        context, question = text_of(record, columns.text, where), text_of(record, columns.pair, where)
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
