"""Distillations that are stopped, die or are called again: each ends as if nobody had disturbed it."""

from __future__ import annotations

import errno

import pytest
import torch
from transformers import AutoModelForCausalLM

from core.errors import DataError
from core.events import Evaluation, Phase, Sample, ScoringTask
from core.methods import run_experiment, run_folder, steps
from core.methods.distillation import distill
from core.models import catalog
from core.recorder import CONTROL, STUDENT, ListRecorder, StopRequested
from core.reports.run_report import RunReport
from core.students import build
from tests.core.conftest import write_reviews
from tests.core.methods.distillations import RETENTION, experiment


@pytest.mark.parametrize(("student", "variants"), [
    ({}, (STUDENT, CONTROL)), ({"init": "random"}, (STUDENT,)), ({"lora": {"rank": 2, "dropout": 0.1}}, (STUDENT,)),
    ({"layer_map": "importance"}, (STUDENT,))])
def test_a_resumed_run_equals_an_uninterrupted_one(teacher, corpus, tmp_path, student, variants):
    config = experiment(teacher, corpus, control=CONTROL in variants, student=student)
    whole, parts = ListRecorder(), ListRecorder(stop_after=3)
    distill(config, whole, tmp_path / "whole")
    with pytest.raises(StopRequested):
        distill(config, parts, tmp_path / "parts")
    assert not (tmp_path / "parts" / STUDENT).exists()
    parts.stop_after = None
    report = distill(config, parts, tmp_path / "parts")
    assert not report.stopped
    for variant in variants:
        assert parts.series(variant, "loss") == whole.series(variant, "loss")
        assert parts.series(variant, "eval/perplexity") == whole.series(variant, "eval/perplexity")
        one, other = (AutoModelForCausalLM.from_pretrained(tmp_path / run / variant).state_dict() for run in ("whole", "parts"))
        assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(("student", "module", "measure"), [
    ({"layer_map": "importance"}, build, "block_importance"),
    ({"hidden": 16, "lora": {"rank": 2}}, steps, "unit_importance")])
def test_importance_is_measured_once_for_both_variants_and_all_calls(teacher, corpus, tmp_path, monkeypatch, student, module, measure):
    config = experiment(teacher, corpus, control=True, student=student, losses={"w_hidden": 0}, evaluation={"prompts": []})
    calls, original = [], getattr(module, measure)
    monkeypatch.setattr(module, measure, lambda *given: (calls.append(given), original(*given))[1])
    recorder = ListRecorder(stop_after=3)
    with pytest.raises(StopRequested):
        distill(config, recorder, tmp_path / "run")
    recorder.stop_after = None
    report = distill(config, recorder, tmp_path / "run")
    assert not report.stopped and len(calls) == 1
    assert recorder.series(STUDENT, "raw/hard")[1] == pytest.approx(recorder.series(CONTROL, "raw/hard")[1], rel=1e-6)


class StopsAfter(ListRecorder):
    """Requests a stop after so many optimiser steps, whether they are logged or not."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.polls, self.steps = 0, steps

    def should_stop(self) -> bool:
        self.polls += 1  # twice before the first step, then after each
        return self.polls == self.steps + 2


@pytest.mark.parametrize(("student", "losses", "logging_steps", "stop"), [
    ({}, {}, 10, 7),  # the sums of seven steps are carried to the tenth
    # Projections are no part of the adapters' checkpoints.
    ({"hidden": 16, "units": "first", "layer_map": [0, 2], "lora": {"rank": 2}}, {"w_hidden": 0, "w_hidden_mse": 1.0}, 1, 3)])
def test_what_trainer_does_not_keep_is_kept(teacher, corpus, tmp_path, student, losses, logging_steps, stop):
    config = experiment(teacher, corpus, student=student, losses=losses, evaluation={"prompts": [], "eval_steps": 50},
                        train={"max_steps": 10, "logging_steps": logging_steps, "save_steps": 50})
    whole, parts = ListRecorder(), StopsAfter(stop)
    distill(config, whole, tmp_path / "whole")
    with pytest.raises(StopRequested):
        distill(config, parts, tmp_path / "parts")
    assert not distill(config, parts, tmp_path / "parts").stopped
    for name in ("loss", "raw/hard", "raw/hidden_mse", "raw/hidden"):
        assert parts.series(STUDENT, name) == whole.series(STUDENT, name)
    assert 10 in whole.series(STUDENT, "loss")
    one, other = (AutoModelForCausalLM.from_pretrained(tmp_path / run / STUDENT).state_dict() for run in ("whole", "parts"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_stop_before_the_first_step_trains_nothing(teacher, corpus, tmp_path):
    recorder = ListRecorder(stop_after=0)
    report = run_experiment(experiment(teacher, corpus, control=True), recorder, tmp_path / "run", load=catalog.load)
    assert report.stopped and not report.student_before and not recorder.series(STUDENT, "loss")
    assert not (tmp_path / "run" / CONTROL).exists()


EVALUATED = {"prompts": [], "eval_steps": 2}


@pytest.fixture(scope="module")
def undisturbed(teacher, tmp_path_factory) -> tuple[RunReport, ListRecorder]:
    """The run that is stopped below, without a stop, in a home of its own: what it has measured is not kept for the others."""
    recorder, folder = ListRecorder(), tmp_path_factory.mktemp("undisturbed")
    config = experiment(teacher, write_reviews(folder / "reviews.txt", 120), evaluation=EVALUATED)
    return distill(config, recorder, folder / "run"), recorder


@pytest.mark.parametrize("subject", ["teacher", "student_before", "student_after", None])
def test_a_stop_inside_an_evaluation_keeps_what_was_trained_and_a_resume_repeats_it(teacher, corpus, tmp_path, undisturbed, subject):
    class StopInside(ListRecorder):
        """Requests a stop at the second forward pass of an evaluation of `subject`; None: of a point of a curve."""

        polls = 0

        def should_stop(self):
            phase = self.of(Phase)[-1] if self.of(Phase) else None
            inside = phase is not None and phase.subject == subject and (subject or 4 in self.series(STUDENT, "loss"))
            self.polls += bool(inside)
            return self.polls > (1 if subject else 3)

    (expected, whole), parts, rest = undisturbed, StopInside(), ListRecorder()
    config = experiment(teacher, corpus, evaluation=EVALUATED)
    with pytest.raises(StopRequested) as stopped:
        distill(config, parts, tmp_path / "parts")
    assert subject not in stopped.value.report.metrics or stopped.value.report.metrics[subject] is None
    report = distill(config, rest, tmp_path / "parts")
    assert report.metrics == expected.metrics
    rows = {row[:3]: row[3] for row in (*parts.rows, *rest.rows) if row[2].startswith(("eval/", "loss"))}
    assert rows == {row[:3]: row[3] for row in whole.rows if row[2].startswith(("eval/", "loss"))}


def test_a_finished_run_is_not_trained_again(teacher, corpus, tmp_path):
    config = experiment(teacher, corpus)
    first = distill(config, ListRecorder(), tmp_path / "run")
    recorder = ListRecorder()
    again = distill(config, recorder, tmp_path / "run")
    assert again.metrics == first.metrics and not recorder.rows


def test_a_run_that_dies_between_its_last_step_and_saving_takes_no_step_more(teacher, corpus, tmp_path, monkeypatch):
    config, run = experiment(teacher, corpus, train={"lr_scheduler_type": "constant_with_warmup"}), tmp_path / "run"
    whole = ListRecorder()
    distill(config, whole, tmp_path / "whole")
    save, recorder = run_folder.RunFolder.save_model, ListRecorder()

    def fails(self, name, *given):
        if name == STUDENT:
            raise OSError(errno.ENOSPC, "No space left on device")
        return save(self, name, *given)

    monkeypatch.setattr(run_folder.RunFolder, "save_model", fails)
    with pytest.raises(OSError, match="No space"):
        distill(config, recorder, run)
    monkeypatch.setattr(run_folder.RunFolder, "save_model", save)
    assert not distill(config, recorder, run).stopped
    assert recorder.series(STUDENT, "loss") == whole.series(STUDENT, "loss")
    one, other = (AutoModelForCausalLM.from_pretrained(folder / STUDENT).state_dict() for folder in (run, tmp_path / "whole"))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("kind", ["evaluation", "samples"])
def test_what_was_not_logged_when_a_run_died_is_logged_when_it_resumes(teacher, corpus, tmp_path, kind):
    class Dies(ListRecorder):
        def event(self, event):
            if event.kind == kind:
                raise KeyboardInterrupt
            super().event(event)

    config, recorder = experiment(teacher, corpus, train={"max_steps": 1}), ListRecorder()
    with pytest.raises(KeyboardInterrupt):
        distill(config, Dies(), tmp_path / "run")
    distill(config, recorder, tmp_path / "run")
    logged = {event.subject for event in recorder.of(Evaluation)} if kind == "evaluation" else {event.step for event in recorder.of(Sample)}
    assert logged >= ({"teacher", "student_before"} if kind == "evaluation" else {0})
    assert 0 in recorder.series(STUDENT, "eval/perplexity")


def test_a_corpus_that_changed_is_not_trained_on_unnoticed(teacher, corpus, tmp_path):
    config = experiment(teacher, corpus)
    with pytest.raises(StopRequested):
        distill(config, ListRecorder(stop_after=2), tmp_path / "run")
    corpus.write_text(corpus.read_text().replace("quiet", "loud"))
    with pytest.raises(DataError, match="changed since this run began"):
        distill(config, ListRecorder(), tmp_path / "run")


def test_a_run_stopped_while_its_card_is_measured_resumes_with_it(teacher, corpus, tmp_path, few_reviews):
    class Impatient(ListRecorder):
        def should_stop(self) -> bool:
            return bool(self.of(ScoringTask))

    config = experiment(teacher, corpus, evaluation=RETENTION)
    with pytest.raises(StopRequested) as stop:
        distill(config, Impatient(), tmp_path / "run")
    assert stop.value.report.stopped and stop.value.report.retention is None
    assert not (tmp_path / "run" / "report.json").exists()
    again = ListRecorder()
    report = distill(config, again, tmp_path / "run")
    assert not report.stopped and report.retention.rows[1].scores
    assert not again.series(STUDENT, "loss"), "nothing is trained again"
    assert not any(phase.name.startswith("time ") for phase in again.of(Phase)), "nothing is timed again"
