"""Labels as they come: their order, numbers that are written as text, and what is no class."""

from __future__ import annotations

import pytest

from core.config import TaskSpec
from core.errors import DataError
from core.tasks.data import load_task
from tests.core.tasks.records import lines, reviews, table


def test_numbers_are_in_the_order_of_numbers(tmp_path) -> None:
    records = [{"text": f"text {number}", "label": (10, 9, 2)[number % 3]} for number in range(30)]
    as_text = table(tmp_path / "a.csv", records)
    assert load_task(TaskSpec(source=as_text)).labels == ("2", "9", "10")
    assert load_task(TaskSpec(source=lines(tmp_path / "a.jsonl", records))).labels == ("2", "9", "10")


@pytest.mark.parametrize(("written", "labels"), [
    (("00123", "123"), ("00123", "123")), (("00123", "7"), ("00123", "7")), (("1", "1.0"), ("1", "1.0")), (("+1", "1"), ("+1", "1")),
    (("1.0", "2.0"), ("1", "2")), (("-1", "10", "9"), ("-1", "9", "10")), (("0", "1"), ("0", "1")),
    (("90000000000000000001", "90000000000000000002"), ("90000000000000000001", "90000000000000000002"))])
def test_labels_that_are_written_differently_stay_different(tmp_path, written, labels) -> None:
    records = [{"text": f"text {number}", "label": written[number % len(written)]} for number in range(30)]
    task = load_task(TaskSpec(source=table(tmp_path / "a.csv", records)))
    assert task.labels == labels
    assert all(written[int(item.text.split()[1]) % len(written)].removesuffix(".0") == task.labels[item.label].removesuffix(".0")
               for item in task.train)
    assert load_task(TaskSpec(source=lines(tmp_path / "a.jsonl", records))).labels == labels


def test_labels_of_two_files_are_read_alike(tmp_path) -> None:
    learnt = [{"text": f"text {number}", "label": ("00123", "123")[number % 2]} for number in range(30)]
    measured = [{"text": f"other {number}", "label": "123"} for number in range(5)]
    task = load_task(TaskSpec(source=table(tmp_path / "a.csv", learnt), validation=table(tmp_path / "b.csv", measured)))
    assert task.labels == ("00123", "123")
    assert {item.label for item in task.validation} == {1}


@pytest.mark.parametrize(("labels", "message"), [
    (("good",), r"'good' in all .* items.*two classes"),
    (("good", 1), r"mix text and numbers: 'good' \(.*line 1\) and 1 \(.*line 2\)"),
    (("good", ""), r"line 2: the label 'sentiment' is missing"),
    (("good", None), r"line 2: the label 'sentiment' is missing"),
    (("good", ["bad"]), r"line 2: the label 'sentiment' holds list"),
    (("good", float("nan")), r"line 2: the label 'sentiment' holds nan.*whole number"),
    (("good", float("inf")), r"line 2: the label 'sentiment' holds inf.*whole number"),
    (("good", "bad\ud800"), r"line 2: the label 'sentiment' holds '\\ud800', half of a character"),
    ((1.5, 2.0), r"'sentiment' is a measurement: 1.5 \(.*line 1\).*STS-B"),
])
def test_labels_that_cannot_be_learnt(tmp_path, labels, message) -> None:
    source = lines(tmp_path / "a.jsonl", reviews(40, labels))
    with pytest.raises(DataError, match=message):
        load_task(TaskSpec(source=source))


def test_numbers_and_text_mixed_in_a_table_of_text(tmp_path) -> None:
    with pytest.raises(DataError, match="mix text and numbers"):
        load_task(TaskSpec(source=table(tmp_path / "a.csv", reviews(40, ("1", "positive")))))


def test_a_column_of_keys_is_no_label(tmp_path) -> None:
    records = [{"text": f"text {number}", "label": f"key {number}"} for number in range(100)]
    second = lines(tmp_path / "b.jsonl", records[:10])
    with pytest.raises(DataError, match="100 different labels in 100 items"):
        load_task(TaskSpec(source=lines(tmp_path / "a.jsonl", records), validation=second))


def test_a_second_file_with_other_labels(tmp_path) -> None:
    source, second = lines(tmp_path / "a.jsonl", reviews(10)), lines(tmp_path / "b.jsonl", reviews(4, ("Bad", "Good")))
    with pytest.raises(DataError, match=r"The label 'Bad' \(.*b.jsonl', line 1\) stands nowhere.*'bad', 'good'"):
        load_task(TaskSpec(source=source, validation=second))
