"""Files of every kind are opened as the tables they hold; what is none is refused."""

from __future__ import annotations

import json

import pytest

from core.config import TaskSpec
from core.errors import DataError
from core.tasks import labelled_tables
from core.tasks.data import load_task

CONTEXT = "Anna wrote it in Rome. Ben read it."


def test_json_lists_and_lines_that_are_called_json(tmp_path) -> None:
    records = [{"text": f"text {number}", "label": number % 2} for number in range(30)]
    for name, content in (("a.json", json.dumps(records, indent=1)), ("b.json", "\n".join(map(json.dumps, records)))):
        (tmp_path / name).write_text(content)
        assert load_task(TaskSpec(source=str(tmp_path / name))).labels == ("0", "1")


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
    path.write_text(f'{{"data": [{"[]," * (labelled_tables.MOST_VALUES // 2)}1]}}')
    with pytest.raises(DataError, match=r"cannot be read as a SQuAD file: it holds some 2,000,00\d values"):
        load_task(TaskSpec(source=str(path)))
    path.write_text(json.dumps({"data": 1}))
    with pytest.raises(DataError, match="cannot be read as a SQuAD file"):
        load_task(TaskSpec(source=str(path)))


def test_what_is_no_source() -> None:
    with pytest.raises(DataError, match=r"'housse' is no file here.*'house', 'imdb', 'rt'"):
        load_task(TaskSpec(source="housse"))
    with pytest.raises(DataError, match="There is no file"):
        load_task(TaskSpec(source="missing.jsonl"))
