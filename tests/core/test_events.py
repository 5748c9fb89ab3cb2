"""Typed events and the records that the store holds of them, of this release and of release 0.1.0."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.events import (
    CONTROL,
    STUDENT,
    BridgeCorpus,
    Evaluation,
    Phase,
    RunWarning,
    Sample,
    ScoringTask,
    WritingTexts,
    parse_phase,
)

# As release 0.1.0 stored them.
PHASES: list[tuple[dict[str, Any], Phase]] = [
    ({"name": "load teacher"}, Phase("load teacher")),
    ({"name": "steps", "arm": "control", "total_steps": 9}, Phase("steps", CONTROL, total_steps=9)),
    ({"name": "evaluate", "who": "student_before"}, Phase("evaluate", subject="student_before")),
    ({"name": "measure shapes", "layers": 3, "feed_forward": 40}, Phase("measure shapes", details={"layers": 3, "feed_forward": 40})),
    ({"name": "write texts", "done": 4, "texts": 12, "kept": 3, "left_out": {"empty": 1}},
     WritingTexts(done=4, texts=12, kept=3, left_out={"empty": 1})),
    ({"name": "retention", "who": "student", "task": "imdb", "seed": 5, "done": 1, "total": 12},
     ScoringTask(subject="student", task="imdb", seed=5, done=1, total=12))]


@pytest.mark.parametrize(("record", "phase"), PHASES, ids=[record["name"] for record, _ in PHASES])
def test_a_phase_is_stored_as_in_release_0_1_0(record: dict[str, Any], phase: Phase) -> None:
    assert json.loads(json.dumps(phase.to_dict())) == record
    assert parse_phase(record) == phase and type(parse_phase(record)) is type(phase)


def test_an_anchors_phase_of_release_0_1_0_is_read() -> None:
    phase = Phase("train", STUDENT, anchor=1, anchors=3)
    assert parse_phase({"name": "train", "arm": "student", "anchor": "1 of 3"}) == phase
    assert parse_phase(phase.to_dict()) == phase


@pytest.mark.parametrize(("subject", "variant", "stage"), [
    ("teacher", "teacher", ""), ("student_before", "student", "before"), ("student_after", "student", "after"),
    ("control", "control", "after")])
def test_an_evaluation_knows_its_variant_and_stage(subject: str, variant: str, stage: str) -> None:
    record = {"who": subject, "metrics": {"perplexity": 2.0}}
    evaluation = Evaluation.from_dict(record)
    assert evaluation == Evaluation(variant, stage, {"perplexity": 2.0}) == Evaluation.of(subject, {"perplexity": 2.0})
    assert evaluation.to_dict() == record


def test_an_anchors_evaluation_of_release_0_1_0_is_read() -> None:
    evaluation = Evaluation(STUDENT, "before", {"perplexity": 2.0}, anchor=12)
    assert Evaluation.from_dict({"who": "anchor 12: student_before", "metrics": {"perplexity": 2.0}}) == evaluation
    assert Evaluation.from_dict(json.loads(json.dumps(evaluation.to_dict()))) == evaluation


@pytest.mark.parametrize("event", [Sample(STUDENT, 3, "?", "!"), BridgeCorpus(4, {"empty": 1}), RunWarning("hm")])
def test_records_are_read_back(event: Sample | BridgeCorpus | RunWarning) -> None:
    assert type(event).from_dict(json.loads(json.dumps(event.to_dict()))) == event
    assert event.to_dict().keys() <= {"arm", "step", "prompt", "answer", "kept", "left_out", "message"}
