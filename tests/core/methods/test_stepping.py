"""Single steps are the steps of the run: same losses, same order; and what is shown of each is what happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from core.config import ExperimentConfig
from core.errors import StillhouseError
from core.methods import run_experiment
from core.methods.stepping import Stepper
from core.models import catalog
from core.recipes import parse_recipe
from core.recorder import STUDENT, ListRecorder
from tests.core.chat_models import save_chat_model


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> ExperimentConfig:
    folder = tmp_path_factory.mktemp("stepping")
    (folder / "text.txt").write_text("\n".join(f"The film number {number} was quite good, and then it was not." for number in range(80)))
    teacher = save_chat_model(folder / "tiny", layers=4)
    return parse_recipe({"teacher": {"model": str(teacher)}, "student": {"layers": 2}, "control": False,
                         "losses": {"w_kd": 1.0, "w_hard": 0.5, "temperature": 2.0},
                         "data": {"source": str(folder / "text.txt"), "block_length": 16},
                         "train": {"max_steps": 3, "per_device_train_batch_size": 1, "gradient_accumulation_steps": 2, "device": "cpu",
                                   "logging_steps": 1, "warmup_ratio": 0},
                         "evaluation": {"blocks": 2, "eval_steps": 3, "prompts": [], "sentiment_items": 0}})


def test_they_are_the_steps_of_the_run(config: ExperimentConfig, tmp_path: Path):
    recorder = ListRecorder()
    run_experiment(config, recorder, tmp_path / "run", load=catalog.load)
    stepper = Stepper(config, catalog.load)
    steps = [stepper.step() for _ in range(3)]
    with pytest.raises(StillhouseError, match="All 3 steps were taken"):
        stepper.step()
    stepper.close()
    assert [(step.number, step.total, step.blocks) for step in steps] == [(1, 3, 2), (2, 3, 2), (3, 3, 2)]
    for name, found in (("loss", [step.loss for step in steps]), ("grad_norm", [step.gradient_norm for step in steps]),
                        ("raw/kd", [step.terms[0].raw for step in steps]), ("loss/hard", [step.terms[1].weighted for step in steps])):
        assert found == pytest.approx(list(recorder.series(STUDENT, name).values()), rel=1e-5), name


def test_what_is_shown_is_what_happened(config: ExperimentConfig):
    stepper = Stepper(config, catalog.load)
    model = stepper._trainer.model
    before: list[Any] = [parameter.detach().clone() for parameter in model.parameters()]
    step = stepper.step()
    after = [parameter.detach().clone() for parameter in model.parameters()]
    stepper.close()
    assert step.update == pytest.approx(float(torch.cat([(b - a).flatten() for a, b in zip(before, after, strict=True)]).norm()), rel=1e-4)
    assert step.weights == pytest.approx(float(torch.cat([a.flatten() for a in before]).norm()), rel=1e-4)
    assert 0 < step.update < step.weights
    assert step.teacher == sorted(step.teacher, reverse=True) and len(step.tokens) == len(step.before) == len(step.after) == 8
    assert step.before != step.after and step.text and step.target
    assert step.divergence is not None and step.divergence[0] > 0
    assert [term.name for term in step.terms] == ["kd", "hard"] and step.loss == pytest.approx(sum(term.weighted for term in step.terms))


def test_another_kind_has_none(config: ExperimentConfig):
    with pytest.raises(StillhouseError, match="no single steps"):
        Stepper(parse_recipe({"kind": "ensemble", "images": {"source": "digits"}}), catalog.load)


def test_one_that_was_never_stepped_ends_too(config: ExperimentConfig):
    stepper = Stepper(config, catalog.load)
    folder = Path(stepper._folder.name)
    assert folder.is_dir()
    stepper.close()
    assert not folder.exists()
