"""Reading from notes to scores: an oracle's run, its controls, a stop, and distillation on the same streams."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from core.config import ReadingConfig
from core.errors import CompatibilityError, ConfigError, DataError, SetField
from core.events import Annotating
from core.generation import batched
from core.methods import run_experiment
from core.models import catalog
from core.reading.annotation import load_paragraphs
from core.reading.together import read_together, student_notes
from core.recipes import parse_recipe
from core.recorder import STUDENT, ListRecorder, StopRequested
from tests.core.chat_models import chat_model, chat_tokenizer, save_chat_model

TRAIN = {"max_steps": 3, "per_device_train_batch_size": 2, "save_steps": 2, "precision": "fp32", "device": "cpu"}
EVALUATION = {"eval_steps": 100, "blocks": 2, "prompts": []}
SCRATCH = {"architecture": "llama", "layers": 1, "hidden": 16, "heads": 2, "key_value_heads": 2, "intermediate_size": 32,
           "vocabulary": 400, "positions": 128}


def config(student: dict, reading: dict | None = None, **changes) -> ReadingConfig:
    found = parse_recipe({"reading": {"model": "oracle", "paragraphs": 12, "items": 4, **(reading or {})}, "teacher": None,
                          "student": student, "data": {"block_length": 64}, "train": TRAIN, "evaluation": EVALUATION, **changes})
    assert isinstance(found, ReadingConfig)
    return found


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_chat_model(tmp_path_factory.mktemp("reading") / "student", layers=2))


def test_a_new_model_reads_and_is_scored_before_and_after(tmp_path: Path) -> None:
    recorder = ListRecorder()
    report = run_experiment(config({"from_scratch": SCRATCH}), recorder, tmp_path, load=catalog.load)
    tasks = {"answers", "yes_no", "entailment", "typing", "sentiment", "accuracy"}
    assert {f"reading_{name}" for name in tasks} <= set(report.student_before) & set(report.student_after)
    assert recorder.series(STUDENT, "eval/reading_accuracy").keys() == {0, 3}
    with pa.ipc.open_stream(str(tmp_path / "notes" / "notes.arrow")) as reader:
        rows = reader.read_all().to_pylist()
    assert {"oracle"} == {row["teacher"] for row in rows} and all(row["exact"] for row in rows)
    assert sum(row["entities"] is not None for row in rows) == 36
    assert sum(each.entities is not None for paragraph in load_paragraphs(tmp_path / "notes") for each in paragraph.sentences) == 36
    together = read_together(tmp_path)
    assert len(together) == 8 and together[0]["entities"]["teacher"].startswith("Entities:") and together[0]["entities"]["before"]
    assert together[0]["questions"]["after"].startswith("Question:")
    card = (tmp_path / "student" / "README.md").read_text()
    assert "2507.19741" in card and "oracle" in card


def test_a_run_that_was_stopped_resumes_to_the_same_student(student: str, tmp_path: Path) -> None:
    whole = run_experiment(config({"model": student}), ListRecorder(), tmp_path / "whole", load=catalog.load)
    stopped = run_experiment(config({"model": student}), ListRecorder(stop_after=1), tmp_path / "cut", load=catalog.load)
    assert stopped.stopped and not (tmp_path / "cut" / "student").exists()
    resumed = run_experiment(config({"model": student}), ListRecorder(), tmp_path / "cut", load=catalog.load)
    assert resumed.student_after == whole.student_after


def test_a_teacher_is_distilled_on_the_same_streams(student: str, tmp_path: Path) -> None:
    recorder = ListRecorder()
    both = config({"layers": 1}, teacher={"model": student}, losses={"w_kd": 1.0, "w_hard": 0.5})
    report = run_experiment(both, recorder, tmp_path, load=catalog.load)
    assert recorder.series(STUDENT, "raw/kd") and recorder.series(STUDENT, "raw/hard") and "reading_accuracy" in report.of("teacher")


def test_a_task_that_cannot_be_read_fails_before_anything_else(student: str, tmp_path: Path) -> None:
    (tmp_path / "task.jsonl").write_text('{"x": 1}\n{"x": 2}\n')
    recorder = ListRecorder()
    with pytest.raises(DataError, match="prompt, candidates and label"):
        run_experiment(config({"model": student}, {"tasks": [str(tmp_path / "task.jsonl")]}), recorder, tmp_path / "run", load=catalog.load)
    assert not recorder.events


def test_a_student_that_cannot_read_an_item_is_refused_before_a_note_is_taken(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("\n\n".join(f"Film number {number} has a very good script." for number in range(40)))
    short = str(save_chat_model(tmp_path / "short", positions=200))
    recorder = ListRecorder()
    with pytest.raises(CompatibilityError, match=r"An item of house-sentiment takes .* reads 200") as refused:
        run_experiment(config({"model": short}, {"model": short, "tasks": ["house-sentiment", "typing"]},
                              data={"source": str(text), "block_length": 64}), recorder, tmp_path / "run", load=catalog.load)
    assert refused.value.suggestion == SetField("reading.tasks", ["typing"]) and not recorder.of(Annotating)


def test_a_new_student_that_cannot_read_an_item_is_refused_before_its_first_step(tmp_path: Path) -> None:
    recorder = ListRecorder()
    with pytest.raises(CompatibilityError, match="The model reads 24"):
        run_experiment(config({"from_scratch": {**SCRATCH, "positions": 24}}, data={"block_length": 16}), recorder, tmp_path,
                       load=catalog.load)
    assert not recorder.rows and not (tmp_path / STUDENT).exists()


def test_a_note_and_its_sentence_share_a_short_context(monkeypatch: pytest.MonkeyPatch) -> None:
    model, seen = chat_model(positions=32), list[int]()

    def generate(model, tokenizer, prompts, *, max_new_tokens: int, **_) -> list[list[int]]:
        seen.extend(len(prompt) + max_new_tokens for prompt in prompts)
        return [[] for _ in prompts]

    monkeypatch.setattr(batched, "generate_batch", generate)
    student_notes(model, chat_tokenizer(), ["A quiet film with a very good script and old jokes, naïve and touching."], "\n")
    assert seen == [32, 32]


@pytest.mark.parametrize(("changes", "field"), [
    ({"student": {}}, "student.model"), ({"losses": {"w_kd": 1}}, "losses.w_kd"), ({"control": True}, "control"),
    ({"reading": {"entity_prompt": "no place"}}, "reading.entity_prompt"), ({"reading": {"shortest": 9, "longest": 3}}, "reading.shortest"),
    ({"reading": {"original": 0, "entities": 0, "questions": 0}}, "reading.original"),
    ({"reading": {"notes": "none", "original": 0}}, "reading.original"),
    ({"reading": {"server": {"budget_money": 1.0}}}, "reading.server.price_prompt"),
    ({"reading": {"model": "http://user:secret@host"}}, "reading.model"),
    ({"teacher": {"model": "http://127.0.0.1:9"}}, "teacher.model"),
    ({"teacher": {"signals": {"form": "hidden"}}}, "teacher.signals.form")])
def test_recipes_that_cannot_be(changes: dict, field: str) -> None:
    plain = {"reading": {}, "teacher": None, "student": {"model": "x"}, **changes}
    with pytest.raises(ConfigError) as refused:
        parse_recipe(plain)
    assert refused.value.field == field
    assert "secret" not in str(refused.value)


def test_weights_are_those_of_text_alone_without_a_teacher() -> None:
    assert config({"model": "x"}).losses.needs_teacher() is False
    assert parse_recipe(config({"model": "x"}).to_dict()) == config({"model": "x"})
    assert config({"model": "x"}).digest() != config({"model": "x"}, {"notes": "shuffled"}).digest()


def test_a_stop_while_notes_are_taken_has_a_report(student: str, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("\n\n".join(f"Film number {number} has a very good script." for number in range(40)))
    local = config({"model": student}, {"model": student, "tasks": ["typing"], "items": 2}, data={"source": str(text), "block_length": 64})
    from core.methods.reading import read_and_train

    with pytest.raises(StopRequested) as stopped:
        read_and_train(local, ListRecorder(stop_after=0), tmp_path / "run", load=catalog.load)
    assert stopped.value.report is not None and stopped.value.report.stopped
