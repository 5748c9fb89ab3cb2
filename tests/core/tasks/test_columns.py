"""Columns by name, labels and answers as they come, and what is refused."""

from __future__ import annotations

import json

import pytest

from core.config import TaskSpec
from core.errors import DataError
from core.tasks import columns
from core.tasks.data import load_task
from tests.core.tasks.records import lines, reviews, table


@pytest.mark.parametrize(("first", "second"), [("sentence1", "sentence2"), ("premise", "hypothesis"), ("question1", "question2"),
                                               ("question", "sentence")])
def test_pairs_as_glue_calls_them(tmp_path, first, second) -> None:
    records = [{first: f"one {number}", second: f"two {number}", "label": number % 2, "idx": number} for number in range(20)]
    task = load_task(TaskSpec(source=lines(tmp_path / "a.jsonl", records)))
    assert all(item.pair == item.text.replace("one", "two") for item in task.train)
    assert task.labels == ("0", "1")


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


def test_json_lists_and_lines_that_are_called_json(tmp_path) -> None:
    records = [{"text": f"text {number}", "label": number % 2} for number in range(30)]
    for name, content in (("a.json", json.dumps(records, indent=1)), ("b.json", "\n".join(map(json.dumps, records)))):
        (tmp_path / name).write_text(content)
        assert load_task(TaskSpec(source=str(tmp_path / name))).labels == ("0", "1")


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


def test_half_a_character_in_a_text(tmp_path) -> None:
    with pytest.raises(DataError, match=r"line 1: 'text' holds '\\ud800', half of a character"):
        load_task(TaskSpec(source=lines(tmp_path / "a.jsonl", [{"text": "one\ud800", "label": 1}, {"text": "two", "label": 2}])))


def test_messages_name_the_first_of_many_columns(tmp_path) -> None:
    with pytest.raises(DataError, match=r"has the columns x0, x1, .* and 4,970 more") as refused:
        load_task(TaskSpec(source=lines(tmp_path / "a.jsonl", [{f"x{number}": 1 for number in range(5000)}])))
    assert len(str(refused.value)) < 1000


def test_a_column_of_keys_is_no_label(tmp_path) -> None:
    records = [{"text": f"text {number}", "label": f"key {number}"} for number in range(100)]
    second = lines(tmp_path / "b.jsonl", records[:10])
    with pytest.raises(DataError, match="100 different labels in 100 items"):
        load_task(TaskSpec(source=lines(tmp_path / "a.jsonl", records), validation=second))


def test_a_second_file_with_other_labels(tmp_path) -> None:
    source, second = lines(tmp_path / "a.jsonl", reviews(10)), lines(tmp_path / "b.jsonl", reviews(4, ("Bad", "Good")))
    with pytest.raises(DataError, match=r"The label 'Bad' \(.*b.jsonl', line 1\) stands nowhere.*'bad', 'good'"):
        load_task(TaskSpec(source=source, validation=second))


def test_what_is_no_source() -> None:
    with pytest.raises(DataError, match=r"'housse' is no file here.*'house', 'imdb', 'rt'"):
        load_task(TaskSpec(source="housse"))
    with pytest.raises(DataError, match="There is no file"):
        load_task(TaskSpec(source="missing.jsonl"))


CONTEXT = "Anna wrote it in Rome. Ben read it."

SQUAD = {"id": "a", "question": " Who wrote it? ", "context": CONTEXT}


@pytest.mark.parametrize("answers", [
    {"text": ["Anna"], "answer_start": [0]}, [{"text": "Anna", "answer_start": 0}], "Anna", '{"text": ["Anna"], "answer_start": [0]}'])
def test_answers_as_they_come(tmp_path, answers) -> None:
    source = lines(tmp_path / "a.jsonl", [{**SQUAD, "answers": answers}, {**SQUAD, "context": f"{CONTEXT} So.", "answers": answers}])
    task = load_task(TaskSpec(source=source))
    assert task.kind == "question_answering" and task.labels == ()
    assert task.train[0].answers == (("Anna", 0),) and task.train[0].text == "Who wrote it?"


def test_squads_own_file(tmp_path) -> None:
    questions_of = [{"id": str(number), "question": "Who read it?", "answers": [{"text": "Ben", "answer_start": 23}] * 2}
                    for number in range(3)]
    path = tmp_path / "train-v1.1.json"
    path.write_text(json.dumps({"version": "1.1", "data": [{"title": "x", "paragraphs": [
        {"context": CONTEXT, "qas": questions_of}, {"context": f"{CONTEXT} Yes.", "qas": questions_of}]}]}))
    task = load_task(TaskSpec(source=str(path)))
    assert len(task.train) + len(task.validation) == 6 and task.train[0].answers == (("Ben", 23), ("Ben", 23))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load_task(TaskSpec(source=str(path))).digest == task.digest
    path.write_text(f'{{"data": [{"[]," * (columns.MOST_VALUES // 2)}1]}}')
    with pytest.raises(DataError, match=r"cannot be read as a SQuAD file: it holds some 2,000,00\d values"):
        load_task(TaskSpec(source=str(path)))
    path.write_text(json.dumps({"data": 1}))
    with pytest.raises(DataError, match="cannot be read as a SQuAD file"):
        load_task(TaskSpec(source=str(path)))


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
