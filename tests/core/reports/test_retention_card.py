"""What follows from a card's numbers, and its way to JSON and back."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from core.evaluation.statistics import Estimate
from core.reports import retention_card
from core.reports.retention_card import DISTILBERT, Card, Row
from tests.core.evaluation.cards import card, scores


def test_smaller_faster_and_retained_are_those_of_the_definitions() -> None:
    known = card()
    student = known.row("student")
    assert known.smaller(student) == pytest.approx(0.45)
    assert known.faster(student).value == pytest.approx(0.6) and known.faster(student).low == pytest.approx(0.52)
    assert known.predicted_faster(student) == pytest.approx(1 / 0.6 - 1)
    assert known.off_prediction(student) == pytest.approx(1.6 * 0.6 - 1) and abs(known.off_prediction(student)) < retention_card.TOLERANCE
    assert known.retained(student, "imdb").value == pytest.approx(0.89 / 0.91)
    assert known.macro(student).value == pytest.approx((0.89 + 0.78) / (0.91 + 0.80))


def test_the_teacher_keeps_everything_with_certainty() -> None:
    known = card()
    assert known.macro(known.teacher) == Estimate(1.0, 1.0, 1.0, 0.95, 3, "student_t", "seeds")
    assert known.smaller(known.teacher) == 0 and known.faster(known.teacher).value == 0 and known.off_prediction(known.teacher) == 0


def test_the_macro_interval_is_paired_by_seed() -> None:
    """A student that always keeps nine tenths keeps them with certainty, however its scores move from seed to seed."""
    known = card()
    tracking = Row("student", "s", scores=tuple(replace(each, values=tuple(0.9 * value for value in each.values))
                                                for each in known.teacher.scores))
    kept = replace(known, rows=(known.teacher, tracking)).macro(tracking)
    assert kept.value == pytest.approx(0.9) and kept.high - kept.low < 1e-9
    crossed = replace(tracking, scores=tuple(replace(each, values=each.values[1:] + each.values[:1]) for each in tracking.scores))
    assert (loose := known.macro(crossed)).high - loose.low > 0.001


def test_one_seed_has_a_value_and_no_interval() -> None:
    teacher, student = (Row(kind, kind, scores=scores((value,), (value,))) for kind, value in (("teacher", 0.9), ("student", 0.6)))
    kept = Card((teacher, student), (42,)).macro(student)
    assert kept == Estimate(pytest.approx(2 / 3))


def test_a_task_that_is_missing_leaves_no_macro() -> None:
    known = card()
    half = replace(known.row("student"), scores=known.row("student").scores[:1])
    assert known.macro(half) is None and known.retained(half, "imdb") is not None


def test_json_and_back() -> None:
    known = card()
    plain = json.loads(json.dumps(known.to_dict()))
    assert Card.from_dict(plain) == known
    assert plain["summary"]["student"]["macro"]["value"] == pytest.approx(1.67 / 1.71)
    assert plain["published"]["arxiv"] == "1910.01108"
    bare = Card((Row("teacher", "t"),))
    assert Card.from_dict(json.loads(json.dumps(bare.to_dict()))) == bare


def test_the_published_row_agrees_with_itself() -> None:
    """What the abstract rounds is what the tables hold."""
    assert 1 - DISTILBERT.parameters[0] / DISTILBERT.parameters[1] == pytest.approx(DISTILBERT.smaller, abs=0.005)
    assert DISTILBERT.seconds[1] / DISTILBERT.seconds[0] - 1 == pytest.approx(DISTILBERT.faster, abs=0.05)
    assert DISTILBERT.macro[0] / DISTILBERT.macro[1] == pytest.approx(DISTILBERT.retained, abs=0.005)


@pytest.mark.parametrize(("kind", "whose"), [
    ("reading_teacher", "the reading teacher"), ("student_before", "the student before training"), ("teacher", "the teacher")])
def test_a_card_says_what_stands_for_the_teacher(kind: str, whose: str) -> None:
    known = card()
    other = replace(known, rows=(replace(known.teacher, kind=kind), *known.rows[1:]))
    assert other.compared_with == whose
    assert other.smaller(other.row("student")) == known.smaller(known.row("student"))
    assert bool(other.stands_for_teacher) == (kind != "teacher")
    assert Card.from_dict(other.to_dict()) == other


def test_what_was_not_measured_is_none() -> None:
    known = card()
    quantised = Row("int8, in the browser", "student.onnx", 5_500_000, None, 6_000_000, "int8")
    longer = replace(known, rows=(*known.rows, quantised))
    assert {longer.faster(quantised), longer.predicted_faster(quantised), longer.macro(quantised)} == {None}
    assert longer.retained(quantised, "imdb") is None


def test_a_card_without_tasks_retains_nothing() -> None:
    known = card()
    bare = replace(known, rows=tuple(replace(row, scores=()) for row in known.rows), seeds=())
    assert bare.tasks == () and bare.macro(bare.row("student")) is None
