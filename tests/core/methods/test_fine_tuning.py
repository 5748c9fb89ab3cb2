"""Fine-tuning as a run: the folder that it leaves, its report and card, stage 2, stops, and what is refused before it begins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForQuestionAnswering, AutoModelForSequenceClassification, AutoTokenizer

from core.config import ExperimentConfig
from core.errors import CompatibilityError, ConfigError, DataError
from core.events import Evaluation, Sample
from core.methods import method_for
from core.methods.fine_tuning import tune
from core.metrics import METRICS
from core.planning.memory import PROGRAM
from core.planning.plan import plan, static_plan
from core.recipes import parse_recipe
from core.recorder import STUDENT, ListRecorder, StopRequested
from core.reports.class_scores import ClassReport
from core.system import machine
from tests.core.tasks.encoders import BAD, GOOD, encoder, questions
from tests.core.tiny import tiny_model

STEPS = 6


@pytest.fixture
def films(tmp_path: Path) -> str:
    path = tmp_path / "films.jsonl"
    path.write_text("".join(json.dumps({"text": f"the film was {word} {number}", "label": label}) + "\n" for number in range(12)
                            for label, words in (("bad", BAD), ("good", GOOD)) for word in words))
    return str(path)


def recipe(model: Path | str, source: str, name: str = "tuned", **changes: Any) -> ExperimentConfig:
    return parse_recipe({
        "name": name, "student": {"model": str(model)}, "task": {"source": source, "max_length": 32},
        "train": {"max_steps": STEPS, "learning_rate": 3e-3, "logging_steps": 1, "save_steps": 2, "precision": "fp32", "device": "cpu"},
        "evaluation": {"eval_steps": 3}} | changes)


def test_a_run_leaves_a_model_that_anybody_can_load(tmp_path, films) -> None:
    encoder(tmp_path / "enc")
    config, recorder = recipe(tmp_path / "enc", films, description="Films."), ListRecorder()
    assert method_for(config) is tune
    report = tune(config, recorder, tmp_path / "run", command="distill this")
    folder = tmp_path / "run" / STUDENT
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["progress.json", "report.json", "student"]
    assert {"README.md", "recipe.yaml", "stillhouse.json", "config.json", "model.safetensors", "tokenizer.json"} <= {
        path.name for path in folder.iterdir()}
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model.config.id2label == {0: "bad", 1: "good"}
    assert model(**tokenizer("the film was good", return_tensors="pt")).logits.shape == (1, 2)
    assert json.loads((tmp_path / "run/report.json").read_text()) == report.to_dict()
    assert report.metrics["teacher"] is None and not report.stopped and report.tokens > 0
    assert {"accuracy", "stderr", "items", "majority_share"} <= report.student_after.keys()
    assert (report.data.labels, report.data.task, report.data.kind) == (("bad", "good"), "films", "classification")
    assert report.student.parameters == sum(each.numel() for each in model.parameters())
    assert recorder.series(STUDENT, "eval/accuracy").keys() == set(range(7))
    assert recorder.series(STUDENT, "eval/accuracy")[6] == report.student_after["accuracy"]
    assert {name for _, _, name, _ in recorder.rows} <= {*METRICS, "epoch"}
    by_class, = recorder.of(ClassReport)
    assert by_class.scores.keys() == {"student_after"}
    assert by_class.scores["student_after"].accuracy.value == pytest.approx(report.student_after["accuracy"])
    samples = recorder.of(Sample)
    assert {sample.step for sample in samples} == {0, 6} and all("(right: " in sample.answer for sample in samples)
    card = (folder / "README.md").read_text()
    assert "pipeline_tag: text-classification" in card and "AutoModelForSequenceClassification" in card and "base_model: enc" in card
    assert "A classifier (bad, good) of 2 blocks" in card and "fine-tuned with Stillhouse on films. Films." in card
    assert str(tmp_path) not in card
    assert parse_recipe(json.loads((folder / "stillhouse.json").read_text())["config"]).task == config.task


def test_stage_two_with_adapters_stopped_and_resumed(tmp_path, films) -> None:
    encoder(tmp_path / "enc")
    encoder(tmp_path / "small", seed=3)
    tune(recipe(tmp_path / "enc", films, "teacher"), ListRecorder(), tmp_path / "teacher")
    config = recipe(tmp_path / "small", films, teacher={"model": str(tmp_path / "teacher" / STUDENT)},
                    student={"model": str(tmp_path / "small"), "lora": {"rank": 2}})
    assert (config.losses.w_kd.start, config.losses.w_hard.start, config.losses.temperature) == (0.5, 0.5, 2)
    whole = ListRecorder()
    tune(config, whole, tmp_path / "whole")
    with pytest.raises(StopRequested) as stop:
        tune(config, first := ListRecorder(stop_after=3), tmp_path / "cut")
    assert stop.value.report.stopped and stop.value.report.metrics["teacher"] and not (tmp_path / "cut" / STUDENT).exists()
    report = tune(config, second := ListRecorder(), tmp_path / "cut")
    assert not report.stopped and report.student.trainable_parameters < report.student.parameters
    logged = first.series(STUDENT, "loss/kd") | second.series(STUDENT, "loss/kd")
    assert logged == pytest.approx(whole.series(STUDENT, "loss/kd"), rel=1e-4) and len(logged) == STEPS
    assert [event.subject for event in second.of(Evaluation)] == ["student_after"]
    (resumed,), (at_once,) = second.of(ClassReport), whole.of(ClassReport)
    assert not first.of(ClassReport) and resumed.scores["teacher"] == at_once.scores["teacher"], "what the teacher said was kept"
    assert resumed.scores["student_after"].confusion == at_once.scores["student_after"].confusion
    assert not (tmp_path / "cut" / "logits").exists()
    assert report.metrics["teacher"]["items"] == report.student_after["items"]
    weights = [AutoModelForSequenceClassification.from_pretrained(tmp_path / name / STUDENT).state_dict() for name in ("whole", "cut")]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, rtol=1e-4, atol=1e-6)
    card = (tmp_path / "cut" / STUDENT / "README.md").read_text()
    assert "distilled from teacher/student" in card and "Adapters: of rank 2" in card and "T = 2, times T squared" in card


def test_questions(tmp_path) -> None:
    encoder(tmp_path / "enc")
    path, task = tmp_path / "questions.jsonl", questions()
    path.write_text("".join(json.dumps({"id": each.number, "question": each.text, "context": f"{each.context} {each.number}",
                                        "answers": {"text": ["anna"] if "anna" in each.context else ["ben"],
                                                    "answer_start": [each.answers[0][1]]}}) + "\n" for each in task.train))
    config = recipe(tmp_path / "enc", str(path), task={"source": str(path), "max_length": 48, "doc_stride": 8, "validation_fraction": 0.3})
    recorder = ListRecorder()
    report = tune(config, recorder, tmp_path / "run")
    assert {"exact_match", "answer_f1", "stderr", "items"} == report.student_after.keys()
    assert recorder.series(STUDENT, "eval/answer_f1").keys() == set(range(7))
    model = AutoModelForQuestionAnswering.from_pretrained(tmp_path / "run" / STUDENT)
    assert model.config.architectures == ["BertForQuestionAnswering"]
    assert "pipeline_tag: question-answering" in (tmp_path / "run" / STUDENT / "README.md").read_text()


def test_data_that_change_between_two_calls(tmp_path, films) -> None:
    encoder(tmp_path / "enc")
    config = recipe(tmp_path / "enc", films)
    with pytest.raises(StopRequested):
        tune(config, ListRecorder(stop_after=2), tmp_path / "run")
    with open(films, "a", encoding="utf-8") as file:
        file.write(json.dumps({"text": "one more", "label": "good"}) + "\n")
    with pytest.raises(DataError, match="have changed since this run began"):
        tune(config, ListRecorder(), tmp_path / "run")


def test_the_plan_refuses_what_cannot_be_fine_tuned(tmp_path, films) -> None:
    encoder(tmp_path / "enc")
    tiny_model("gpt2").save_pretrained(tmp_path / "gpt2")
    AutoTokenizer.from_pretrained(tmp_path / "enc").save_pretrained(tmp_path / "gpt2")
    good = static_plan(recipe(tmp_path / "enc", films))
    assert good.fits and good.total_steps == STEPS and good.student.layers == 2
    assert plan(recipe(tmp_path / "enc", films), measure=True).fits
    failed = {check.name: check.message for check in static_plan(
        recipe(tmp_path / "gpt2", "missing.jsonl", teacher={"model": str(tmp_path / "enc")})).checks if not check.ok}
    assert "it predicts the next token" in failed["student"] and "There is no file" in failed["text"]
    assert "is a masked language model" in failed["teacher"]
    with pytest.raises(CompatibilityError, match="it predicts the next token"):
        tune(recipe(tmp_path / "gpt2", films), ListRecorder(), tmp_path / "run")
    assert not (tmp_path / "run" / STUDENT).exists()


@pytest.mark.parametrize(("changes", "words"), [
    ({"control": True}, "remove chain, bridge and control"), ({"student": {}}, "set student.model to one"),
    ({"losses": {"w_kd": 0, "w_hidden": 1, "w_hard": 1}}, "losses.w_hidden"), ({"losses": {"w_kd": 1}}, "only w_hard can count"),
    ({"evaluation": {"retention": {}}}, "retention"), ({"task": {"max_length": 2}}, "task.max_length")])
def test_recipes_that_cannot_be(changes, words) -> None:
    with pytest.raises(ConfigError, match=words):
        recipe("enc", "house", **changes)


def test_a_plan_reports_the_length_that_is_read_and_the_memory_that_a_step_takes(tmp_path, films, monkeypatch) -> None:
    encoder(tmp_path / "enc")
    config = recipe(tmp_path / "enc", films, task={"source": films, "max_length": 48})
    planned = static_plan(config)
    checks = {check.name: check for check in planned.checks}
    assert planned.fits and "48 tokens of the 64" in checks["block length"].message
    assert planned.memory.total <= planned.memory_available and checks["memory"].ok
    longer = static_plan(recipe(tmp_path / "enc", films, task={"source": films, "max_length": 512}))
    block_length = next(check for check in longer.checks if check.name == "block length")
    assert longer.fits and "512 tokens; the models read 64 at most" in block_length.message
    assert longer.memory.activations > planned.memory.activations
    monkeypatch.setattr(machine, "memory_available", lambda: PROGRAM + 10_000)
    small = static_plan(config)
    refused = next(check for check in small.checks if check.name == "memory")
    assert not small.fits and not refused.ok and "task.max_length" in refused.fix
