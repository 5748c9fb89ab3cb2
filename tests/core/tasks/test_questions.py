"""Answers as they come, and those that cannot be used."""

from __future__ import annotations

import pytest

from core.config import TaskSpec
from core.errors import DataError
from core.tasks.data import load_task
from tests.core.tasks.records import lines, table

CONTEXT = "Anna wrote it in Rome. Ben read it."

SQUAD = {"id": "a", "question": " Who wrote it? ", "context": CONTEXT}


@pytest.mark.parametrize("answers", [
    {"text": ["Anna"], "answer_start": [0]}, [{"text": "Anna", "answer_start": 0}], "Anna", '{"text": ["Anna"], "answer_start": [0]}'])
def test_answers_as_they_come(tmp_path, answers) -> None:
    source = lines(tmp_path / "a.jsonl", [{**SQUAD, "answers": answers}, {**SQUAD, "context": f"{CONTEXT} So.", "answers": answers}])
    task = load_task(TaskSpec(source=source))
    assert task.kind == "question_answering" and task.labels == ()
    assert task.train[0].answers == (("Anna", 0),) and task.train[0].text == "Who wrote it?"


@pytest.mark.parametrize(("start", "right"), [(10, 10), ("10", 10), ("", 0), (None, 0), ("[10]", None), (-1, None), ("ten", None)])
def test_a_start_in_a_column_of_its_own(tmp_path, start, right) -> None:
    rows = [{"context": f"Anna saw  Anna {number}.", "question": "Who?", "answer": "Anna", "answer_start": start} for number in range(3)]
    source = table(tmp_path / "a.csv", rows)
    if right is None:
        with pytest.raises(DataError, match="'Anna' begins at"):
            load_task(TaskSpec(source=source))
    else:
        assert load_task(TaskSpec(source=source)).train[0].answers == (("Anna", right),)


def nested(depth: int) -> object:
    """Answers inside of answers."""
    return "Carl" if not depth else {"text": [nested(depth - 1)]}


@pytest.mark.parametrize(("answers", "message"), [
    ({"text": ["Carl"], "answer_start": [0]}, "'Carl' does not stand in the context at 0"),
    ("Carl", "'Carl' does not stand in the context"),
    ({"text": [], "answer_start": []}, "no answer"), (5, "the answers hold int"),
    ({"text": ["Anna"], "answer_start": ["0"]}, "'Anna' begins at '0'"), ({"text": ["Anna"], "answer_start": [0.0]}, "begins at 0.0"),
    ({"text": ["Anna"], "answer_start": [True]}, "begins at True"), ({"text": "Anna", "answer_start": -4}, "begins at -4"),
    ({"text": "Anna", "answer_start": [0]}, r"begins at \[0\]"), ({"text": ["Anna"], "answer_start": 0}, "1 answers have the starts 0"),
    ({"text": ["Anna", "Ben"], "answer_start": [0]}, r"2 answers have the starts \[0\]"), ({"text": [3]}, "the answers hold int"),
    ({"text": 3, "answer_start": 0}, "the answers hold int"), ({"answer_start": [0]}, "the answers hold NoneType"),
    ([["Anna"]], "the answers hold list"), (nested(2), "does not stand in the context"), (nested(400), "the answers hold list")])
def test_answers_that_cannot_be_used(tmp_path, answers, message) -> None:
    with pytest.raises(DataError, match=f"line 1: .*{message}"):
        load_task(TaskSpec(source=lines(tmp_path / "a.jsonl", [{**SQUAD, "answers": answers}])))
