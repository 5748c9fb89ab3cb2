"""Anchors are recorded as one training: their steps one after the other, their events with the anchor that they are about."""

from __future__ import annotations

import pytest

from core.events import STUDENT_AFTER, Evaluation, Headway, Phase, Sample
from core.methods.chain_recorder import AnchorRecorder
from core.recorder import ListRecorder


def test_steps_follow_each_other_and_the_first_untrained_student_counts_alone() -> None:
    recorder = ListRecorder()
    for number in (1, 2, 3):
        anchor = AnchorRecorder(recorder, number, anchors=3, steps=10)
        anchor.log("student", 0, {"eval/perplexity": 5.0 + number})
        anchor.log("student", 10, {"loss": float(number)})
        anchor.event(Sample("student", 10, "A film", "is long"))
    assert recorder.series("student", "loss") == {10: 1.0, 20: 2.0, 30: 3.0}
    assert recorder.series("student", "eval/perplexity") == {0: 6.0}
    assert [each.step for each in recorder.of(Sample)] == [10, 20, 30]


def test_events_say_which_anchor_they_are_about() -> None:
    recorder = ListRecorder()
    anchor = AnchorRecorder(recorder, 2, anchors=4, steps=10)
    anchor.event(Phase("steps", "student", total_steps=10))
    anchor.event(Evaluation.of(STUDENT_AFTER, {"perplexity": 3.0}))
    assert [(each.anchor, each.anchors, each.total_steps) for each in recorder.of(Phase)] == [(2, 4, 40)]
    assert [each.anchor for each in recorder.of(Evaluation)] == [2]


@pytest.mark.parametrize(("share", "left", "whole", "rest"), [(0.5, 30.0, 0.375, 30.0 + 2 * 60.0), (1.0, 0.0, 0.5, 0.0),
                                                              (0.0, None, 0.25, None)])
def test_anchors_to_come_are_taken_to_last_as_long(share: float, left: float | None, whole: float, rest: float | None) -> None:
    recorder = ListRecorder()
    AnchorRecorder(recorder, 2, anchors=4, steps=10).event(Headway(share, left))
    found, = recorder.of(Headway)
    assert (found.share, found.seconds_left) == (whole, rest)


def test_a_stop_is_the_chains() -> None:
    assert AnchorRecorder(ListRecorder(stop_after=0), 1, 2, 3).should_stop()
