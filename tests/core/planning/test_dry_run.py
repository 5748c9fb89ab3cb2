from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import torch

from core.config import ExperimentConfig
from core.data.prepare import prepare
from core.errors import OutOfMemoryError
from core.evaluation.objectives import Causal
from core.methods import evaluator
from core.methods.steps import TrainingInputs
from core.models import catalog
from core.planning import dry_run
from core.planning.dry_run import DryRunTimings
from core.recipes import parse_recipe
from core.recorder import CONTROL, STUDENT
from core.students import importance
from core.training.base_trainer import FIRST_EVALUATION
from tests.core.chat_models import save_chat_model


@pytest.fixture
def config(tmp_path: Path) -> ExperimentConfig:
    corpus = tmp_path / "reviews.txt"
    corpus.write_text("\n\n".join(f"Film number {n} has a very good script and {n % 7} old jokes." for n in range(60)))
    teacher = save_chat_model(tmp_path / "teacher", layers=4, positions=256)
    return parse_recipe({"teacher": {"model": str(teacher)}, "student": {"layers": 2},
                         "data": {"source": str(corpus), "block_length": 24, "validation_fraction": 0.2},
                         "train": {"per_device_train_batch_size": 2},
                         "evaluation": {"blocks": 4, "sentiment_items": 3, "max_new_tokens": 2}})


@pytest.fixture(autouse=True)
def film_reviews(monkeypatch: pytest.MonkeyPatch) -> None:
    """The corpus counts as film reviews, which packing the house corpus for would take long."""
    monkeypatch.setattr(evaluator, "reads_reviews", lambda config: True)


def inputs(config: ExperimentConfig) -> TrainingInputs:
    loaded = catalog.load(config.teacher.model)
    return TrainingInputs(config, catalog.load, torch.device("cpu"), torch.float32, loaded.tokenizer,
                          prepare(config.data, loaded.tokenizer, 0), Causal(loaded.tokenizer), loaded)


def run(config: ExperimentConfig) -> DryRunTimings:
    return dry_run.dry_run(inputs(config))


def changed(config: ExperimentConfig, **sections: object) -> ExperimentConfig:
    plain = config.to_dict()
    for section, values in sections.items():
        plain[section] = {**plain[section], **values} if isinstance(values, dict) else values
    return parse_recipe(plain)


@pytest.mark.parametrize("control", [False, True])
@pytest.mark.parametrize(("steps", "every"), [(100, 30), (90, 9), (7, 50), (800, 90)])
def test_seconds_are_those_of_a_run_counted_event_by_event(config, control, steps, every):
    config = changed(config, control=control, evaluation={"eval_steps": every})
    step = {STUDENT: 2.0, CONTROL: 1.5} if control else {STUDENT: 2.0}
    measured = DryRunTimings(5, step, language=0.3, sentiment=4.0, answers=0.7, tokens_per_second=1.0)
    small, full, interval = 0.3 + 0.7, 0.3 + 4.0 + 0.7, config.evaluation.interval(steps)
    total = full + full  # the teacher, the student before
    for per_step in step.values():
        for number in range(1, steps + 1):
            total += per_step + (small if number < steps and (number % interval == 0 or number == FIRST_EVALUATION < interval) else 0.0)
        total += full
    assert measured.seconds(config, steps) == pytest.approx(total)
    assert measured.seconds(config, steps, shared=4) == pytest.approx(total / 4), "evaluations are shared out as steps are"


def test_every_part_is_measured_and_nothing_is_left(config, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    found = run(changed(config, control=True))
    assert found.steps == dry_run.STEPS
    assert set(found.step) == {STUDENT, CONTROL}
    assert min(*found.step.values(), found.language, found.sentiment, found.answers, found.tokens_per_second) > 0
    assert list((tmp_path / "scratch").iterdir()) == []
    assert "5 steps" in str(found)


def test_parts_that_are_not_requested_take_no_time(config):
    found = run(changed(config, evaluation={"sentiment_items": 0, "prompts": []}))
    assert (found.sentiment, found.answers) == (0.0, 0.0)


def test_accumulated_steps_count_as_many(config, monkeypatch):
    class Clock:
        seconds = 8.0

        def tokens_per_second(self, state: object) -> float:
            return 1.0

    taken = dry_run._train

    def with_clock(*arguments):
        trainer = taken(*arguments)
        trainer.clock = Clock()
        return trainer

    monkeypatch.setattr(dry_run, "_train", with_clock)
    found = run(changed(config, train={"gradient_accumulation_steps": 16}))
    assert found.step == {STUDENT: 16 * 8.0 / 4}


def test_a_slow_dry_run_ends_after_two_steps(config, monkeypatch):
    monkeypatch.setattr(dry_run, "LONGEST", 0.0)
    assert run(config).steps == 2


@pytest.mark.parametrize("student", [{"layers": 1, "layer_map": "importance"}, {"layers": 1, "layer_map": "first"}])
def test_a_single_block_can_be_matched_in_a_dry_run(config, student):
    ends = changed(config, student=student, losses={"w_hidden_mse": 1.0, "hidden_layers": "ends"})
    assert run(ends).steps == dry_run.STEPS
    if student["layer_map"] == "importance":
        assert run(changed(config, student=student, losses={"w_hidden_mse": 1.0})).steps == dry_run.STEPS


def test_importance_is_not_measured_for_a_dry_run(config):
    assert run(changed(config, student={"layer_map": "importance"})).steps == dry_run.STEPS


def test_nor_is_that_of_units(config, monkeypatch):
    monkeypatch.setattr(importance, "unit_importance", lambda *_: pytest.fail("the importance of units was measured"))
    narrow = changed(config, student={"intermediate_size": 32, "pruning_criterion": "importance"})
    assert run(narrow).steps == dry_run.STEPS


@pytest.mark.parametrize("error", [
    MemoryError(), torch.OutOfMemoryError(), RuntimeError("CUDA error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")])
def test_running_out_of_memory_says_what_to_change(config, monkeypatch, error):
    def fail(_inputs):
        raise error

    monkeypatch.setattr(dry_run, "_measure", fail)
    with pytest.raises(OutOfMemoryError, match="per_device_train_batch_size"):
        run(config)


def test_another_failure_is_not_taken_for_it(config, monkeypatch):
    def fail(_inputs):
        raise RuntimeError("shapes cannot be multiplied")

    monkeypatch.setattr(dry_run, "_measure", fail)
    with pytest.raises(RuntimeError, match="shapes"):
        run(config)
