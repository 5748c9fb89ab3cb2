"""Columns by name, and what is refused."""

from __future__ import annotations

import pytest

from core.config import TaskSpec
from core.errors import DataError
from core.tasks.data import load_task
from tests.core.tasks.records import lines


@pytest.mark.parametrize(("first", "second"), [("sentence1", "sentence2"), ("premise", "hypothesis"), ("question1", "question2"),
                                               ("question", "sentence")])
def test_pairs_as_glue_calls_them(tmp_path, first, second) -> None:
    records = [{first: f"one {number}", second: f"two {number}", "label": number % 2, "idx": number} for number in range(20)]
    task = load_task(TaskSpec(source=lines(tmp_path / "a.jsonl", records)))
    assert all(item.pair == item.text.replace("one", "two") for item in task.train)
    assert task.labels == ("0", "1")


def test_columns_by_name(tmp_path) -> None:
    records = [{"note": "x", "words": f"w {number}", "kind": number % 2} for number in range(10)]
    source = lines(tmp_path / "a.jsonl", records)
    with pytest.raises(DataError, match=r"note, words, kind.*label_column"):
        load_task(TaskSpec(source=source))
    with pytest.raises(DataError, match=r"text_column"):
        load_task(TaskSpec(source=source, label_column="kind"))
    with pytest.raises(DataError, match=r"no column 'wordz'.*Did you mean task.text_column=\"words\""):
        load_task(TaskSpec(source=source, label_column="kind", text_column="wordz"))
    assert load_task(TaskSpec(source=source, label_column="kind", text_column="words")).train[0].text.startswith("w ")


def test_half_a_character_in_a_text(tmp_path) -> None:
    with pytest.raises(DataError, match=r"line 1: 'text' holds '\\ud800', half of a character"):
        load_task(TaskSpec(source=lines(tmp_path / "a.jsonl", [{"text": "one\ud800", "label": 1}, {"text": "two", "label": 2}])))


def test_messages_name_the_first_of_many_columns(tmp_path) -> None:
    with pytest.raises(DataError, match=r"has the columns x0, x1, .* and 4,970 more") as refused:
        load_task(TaskSpec(source=lines(tmp_path / "a.jsonl", [{f"x{number}": 1 for number in range(5000)}])))
    assert len(str(refused.value)) < 1000
