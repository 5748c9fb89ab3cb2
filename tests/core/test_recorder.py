"""Recorders: what they keep, and when they request a stop."""

from __future__ import annotations

import pytest

from core.events import Phase, RunWarning
from core.recorder import CONTROL, STUDENT, ListRecorder, NullRecorder, StopRequested, stop_if_requested


def test_rows_in_order_and_curves_by_step() -> None:
    recorder = ListRecorder()
    recorder.log(STUDENT, 1, {"loss": 2, "tokens": 8})
    recorder.log(CONTROL, 1, {"loss": 3})
    recorder.log(STUDENT, 2, {"loss": 1})
    assert recorder.rows == [(STUDENT, 1, "loss", 2.0), (STUDENT, 1, "tokens", 8.0), (CONTROL, 1, "loss", 3.0), (STUDENT, 2, "loss", 1.0)]
    assert recorder.series(STUDENT, "loss") == {1: 2.0, 2: 1.0}
    assert recorder.series(CONTROL, "tokens") == {}


def test_a_value_logged_again_replaces_the_earlier_one() -> None:
    recorder = ListRecorder()
    for value in (5.0, 4.0):
        recorder.log(STUDENT, 7, {"loss": value})
    assert recorder.series(STUDENT, "loss") == {7: 4.0}


def test_events_by_type() -> None:
    recorder = ListRecorder()
    phase, warning = Phase("prepare data"), RunWarning("little text")
    recorder.event(phase)
    recorder.event(warning)
    assert recorder.events == [phase, warning]
    assert recorder.of(RunWarning) == [warning]


def test_a_stop_is_requested_once_any_variant_has_come_so_far() -> None:
    recorder = ListRecorder(stop_after=2)
    assert not recorder.should_stop()
    recorder.log(STUDENT, 1, {"loss": 1})
    stop_if_requested(recorder)
    recorder.log(CONTROL, 3, {"loss": 1})
    assert recorder.should_stop()
    with pytest.raises(StopRequested) as stop:
        stop_if_requested(recorder)
    assert stop.value.report is None
    recorder.stop_after = None
    assert not recorder.should_stop()


def test_a_stop_after_no_step_is_requested_at_once() -> None:
    with pytest.raises(StopRequested):
        stop_if_requested(ListRecorder(stop_after=0))


def test_a_recorder_of_nothing_asks_whoever_it_was_given() -> None:
    assert NullRecorder().should_stop() is False
    polls: list[int] = []
    recorder = NullRecorder(lambda: bool(polls.append(1) or len(polls) > 1))
    recorder.log(STUDENT, 1, {"loss": 1.0})
    recorder.event(Phase("train"))
    stop_if_requested(recorder)
    with pytest.raises(StopRequested):
        stop_if_requested(recorder)
