"""The retention card of reading runs: what stands for the teacher, what is tried before the first step, and where the card says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.config import ReadingConfig
from core.errors import CompatibilityError
from core.methods import run_experiment
from core.models import catalog
from core.recipes import parse_recipe
from core.recorder import STUDENT, ListRecorder
from core.reports import retention_text
from core.reports.retention_card import READING_TEACHER, STANDS_FOR_TEACHER, Card
from tests.core.chat_models import save_chat_model

CARD = {"tasks": ["rt"], "seconds": 0.2, "length": 16}
SCRATCH = {"architecture": "llama", "layers": 1, "hidden": 16, "heads": 2, "key_value_heads": 2, "intermediate_size": 32,
           "vocabulary": 400, "positions": 128}


def config(student: dict[str, Any], reading: dict[str, Any], **changes: Any) -> ReadingConfig:
    found = parse_recipe({"kind": "reading", "reading": {"paragraphs": 12, "items": 2, **reading}, "teacher": None, "student": student,
                          "data": {"block_length": 48, **changes.pop("data", {})},
                          "train": {"max_steps": 2, "per_device_train_batch_size": 2, "precision": "fp32", "device": "cpu"},
                          "evaluation": {"eval_steps": 100, "blocks": 2, "prompts": [], "retention": CARD}, **changes})
    assert isinstance(found, ReadingConfig)
    return found


@pytest.fixture
def text(tmp_path: Path) -> str:
    path = tmp_path / "text.txt"
    path.write_text("\n\n".join(f"Film number {number} has a very good script." for number in range(40)))
    return str(path)


def test_notes_of_an_oracle_leave_the_student_before_training_as_what_it_is_compared_with(tmp_path: Path, few_reviews: None) -> None:
    recorder = ListRecorder()
    report = run_experiment(config({"from_scratch": SCRATCH}, {"model": "oracle"}, name="reader"), recorder, tmp_path, load=catalog.load)
    card = report.retention
    assert [(row.kind, row.name) for row in card.rows] == [("student_before", "reader"), ("student", "reader")]
    assert card.smaller(card.row("student")) == 0 and 0 <= card.row("student").of_task("rt").mean <= 1
    assert recorder.of(Card) == [card] and card.compared_with == "the student before training"
    written = (tmp_path / STUDENT / "README.md").read_text()
    assert card.stands_for_teacher in written and "| Student before training | Student |" in written
    assert json.loads((tmp_path / STUDENT / "stillhouse.json").read_text())["retention"] == card.to_dict()


def test_a_student_is_compared_with_the_model_whose_notes_it_reads(tmp_path: Path, text: str, few_reviews: None) -> None:
    teacher, student = (str(save_chat_model(tmp_path / name, layers=layers, seed=layers)) for name, layers in (("reader", 3), ("new", 1)))
    reading = {"model": teacher, "paragraphs": 9, "tasks": ["typing"], "max_new_tokens": 4,
               **dict.fromkeys(("entity_prompt", "question_prompt"), "{sentence}")}
    own = config({"model": student}, reading, data={"source": text, "block_length": 32})
    card = run_experiment(own, ListRecorder(), tmp_path / "run", load=catalog.load).retention
    assert [(row.kind, row.name) for row in card.rows] == [(READING_TEACHER, teacher), ("student", STUDENT)]
    sizes = [catalog.describe(each).parameters for each in (teacher, student)]
    assert card.smaller(card.row("student")) == pytest.approx(1 - sizes[1] / sizes[0]) and sizes[1] < sizes[0]
    assert STANDS_FOR_TEACHER[READING_TEACHER] in retention_text.notes(card)


def test_a_student_that_is_distilled_is_compared_with_its_teacher(tmp_path: Path, few_reviews: None) -> None:
    teacher = str(save_chat_model(tmp_path / "teacher", layers=2))
    both = config({"layers": 1}, {"model": "oracle"}, teacher={"model": teacher}, losses={"w_kd": 1.0, "w_hard": 0.5})
    card = run_experiment(both, ListRecorder(), tmp_path / "run", load=catalog.load).retention
    assert [row.kind for row in card.rows] == ["teacher", "student"] and card.stands_for_teacher == ""


def test_a_reading_teacher_that_cannot_be_scored_ends_the_run_before_its_first_step(tmp_path: Path, text: str, few_reviews: None) -> None:
    short = str(save_chat_model(tmp_path / "short", positions=16))
    recorder = ListRecorder()
    with pytest.raises(CompatibilityError, match="The model has room for"):
        run_experiment(config({"model": str(save_chat_model(tmp_path / "student"))}, {"model": short, "notes": "none", "tasks": ["typing"]},
                              data={"source": text, "block_length": 16}), recorder, tmp_path / "run", load=catalog.load)
    assert not recorder.rows and not (tmp_path / "run" / STUDENT).exists()
