"""Whether the teacher can help: the measurement before the run, its verdict, and the run that fine-tunes the teacher."""

from __future__ import annotations

import torch

from core.config import ExperimentConfig
from core.evaluation.statistics import Estimate
from core.evaluation.teacher_help import NOTICEABLE, TeacherHelp
from core.planning import teacher_pilot
from core.planning.teacher_pilot import measure_teacher_help
from core.planning.teacher_tuning import TUNING_RATE, fine_tuning_of_teacher
from core.recipes import parse_recipe
from tests.core.planning.test_dry_run import changed, config, inputs

__all__ = ["config"]


def lead(value: float, margin: float = 0.1) -> Estimate:
    return Estimate(value, value - margin, value + margin, 0.95, 5, "student_t", "groups of blocks")


def test_the_verdict_follows_its_rule():
    losses = lead(3.0), lead(5.0)
    assert TeacherHelp(*losses, lead(0.09)).verdict == "knows no more", "the interval reaches 0"
    assert TeacherHelp(*losses, lead(-1.0)).verdict == "knows no more"
    assert TeacherHelp(*losses, Estimate(2.0)).verdict == "knows no more", "there is no interval"
    assert TeacherHelp(*losses, lead(2.0)).verdict == "helps"
    assert TeacherHelp(*losses, lead(2.0), lead(0.3), 10).verdict == "tune"
    assert TeacherHelp(*losses, lead(2.0), lead(NOTICEABLE, 0.1), 10).verdict == "helps", "by chance"
    assert TeacherHelp(*losses, lead(2.0), lead(NOTICEABLE / 2, 0.001), 10).verdict == "helps", "hardly any"
    known = TeacherHelp(*losses, lead(2.0), lead(0.3), 10)
    assert TeacherHelp.from_dict(known.to_dict()) == known
    assert "3.000 ± 0.100" in str(known) and "95% CI, Student's t over 5 groups of blocks" in str(known) and "0.300" in str(known)


def test_a_student_that_starts_as_its_teacher_knows_as_much(config: ExperimentConfig):
    same = changed(config, student={"model": config.teacher.model, "layers": None}, evaluation={"blocks": 12})
    found = measure_teacher_help(inputs(same))
    assert found.verdict == "knows no more"
    assert abs(found.lead.value) < NOTICEABLE, "no more than the rounding of a teacher in bf16"


def test_a_teacher_that_was_trained_on_the_text_leads_and_one_that_was_not_learns_it(config: ExperimentConfig, monkeypatch):
    monkeypatch.setattr(teacher_pilot, "TUNING_STEPS", 30)
    config = changed(config, train={"learning_rate": 0.05}, evaluation={"blocks": 12})
    material = inputs(config)
    before = {name: value.clone() for name, value in material.teacher.model.state_dict().items()}
    found = measure_teacher_help(material)
    assert found.tuning_steps == 30 and found.tuned_lead.low > NOTICEABLE, "a random teacher learns from any text"
    assert all(torch.equal(value, before[name]) for name, value in material.teacher.model.state_dict().items())
    tuned, _ = teacher_pilot._tuned(material)
    material.teacher.model.load_state_dict(tuned.state_dict())
    again = measure_teacher_help(material)
    assert again.lead.low > 0 and again.verdict in ("helps", "tune")
    assert again.teacher.value < found.teacher.value


def test_too_little_held_out_text_or_memory_leaves_it_open(config: ExperimentConfig, monkeypatch):
    assert measure_teacher_help(inputs(changed(config, evaluation={"blocks": 2}))) is None
    material = inputs(changed(config, evaluation={"blocks": 4}))
    monkeypatch.setattr(teacher_pilot.machine, "memory_available", lambda: 1000)
    found = measure_teacher_help(material)
    assert found.tuned_lead is None and found.tuning_steps == 0


def test_the_teachers_own_training_keeps_text_and_steps(config: ExperimentConfig):
    first = fine_tuning_of_teacher(config)
    assert first.teacher is None and not first.control and first.student.model == config.teacher.model
    assert (first.data, first.train.seed) == (config.data, config.train.seed)
    assert first.train.learning_rate == TUNING_RATE * config.train.learning_rate
    assert parse_recipe(first.to_dict()) == first
