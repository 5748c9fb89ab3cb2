"""How far a run is and how long the rest takes, on a clock of the test's own."""

from __future__ import annotations

import pytest

from core.events import Headway, Phase, ScoringTask
from core.methods import schedule
from core.methods.schedule import Part, Schedule, ScheduledRecorder, counted, skipped
from core.recorder import CONTROL, STUDENT, ListRecorder, NullRecorder, StopRequested


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_what_was_measured_says_how_long_the_rest_takes(clock: Clock) -> None:
    plan = Schedule({"steps": Part(100.0, "steps"), "language": Part(30.0, "language")}, clock=clock)
    assert plan.seconds_left is None and plan.share == 0
    plan.start()
    for _ in range(20):
        clock.now += 2.0
        plan.add("steps", 1.0)
    assert plan.seconds_left == pytest.approx(80 * 2 + 30 * 2)  # a kind without a measurement is as fast as the others
    clock.now += 5.0
    plan.add("language", 10.0)
    assert plan.seconds_left == pytest.approx(80 * 2 + 20 * 0.5)
    assert plan.share == pytest.approx(45 / (45 + 170))


def test_a_machine_that_becomes_slower_is_noticed(clock: Clock) -> None:
    plan = Schedule({"steps": Part(1000.0, "steps")}, clock=clock)
    plan.start()
    for seconds in [1.0] * 100 + [3.0] * 60:
        clock.now += seconds
        plan.add("steps", 1.0)
    assert plan.seconds_left == pytest.approx(840 * 3.0, rel=0.05)


def test_a_share_never_falls(clock: Clock) -> None:
    plan, seen = Schedule({"a": Part(10.0, "a"), "b": Part(10.0, "b")}, clock=clock), []
    plan.start()
    for part, seconds in [("a", 1.0)] * 10 + [("b", 9.0)] * 10:
        clock.now += seconds
        plan.add(part, 1.0)
        seen.append(plan.share)
    assert seen == sorted(seen) and seen[-1] == 1


def test_time_that_was_spent_before_and_parts_in_seconds(clock: Clock) -> None:
    plan = Schedule({"a": Part(2.0, "a"), "timing": Part(60.0, "timing")}, spent=39.0, known={"timing": 1.0}, clock=clock)
    plan.start()
    clock.now += 1.0
    plan.add("a", 2.0)
    assert plan.seconds_left == pytest.approx(60.0) and plan.share == pytest.approx(0.4)


def test_steps_are_counted_from_the_second_and_a_resumed_run_from_where_it_was(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "SAY", 0.0)
    heard = ListRecorder()
    recorder = ScheduledRecorder(heard)
    recorder.schedule = Schedule({"steps student": Part(40.0, "steps", done=20.0), "steps control": Part(20.0, "steps")}, clock=clock)
    recorder.step_amount = {STUDENT: 2.0, CONTROL: 1.0}
    clock.now += 50.0
    recorder.log(STUDENT, 11, {"loss": 1.0})
    assert recorder.schedule.seconds_left is None, "the first step warms up"
    clock.now += 4.0
    recorder.log(STUDENT, 12, {"loss": 1.0})
    recorder.log(STUDENT, 12, {"eval/perplexity": 3.0})
    assert recorder.schedule.seconds_left == pytest.approx(8 * 4.0 + 20 * 2.0)
    assert heard.of(Headway)[-1].seconds_left == pytest.approx(72.0) and heard.series(STUDENT, "eval/perplexity") == {12: 3.0}


def test_scores_of_the_card_count_and_its_times_are_over(clock: Clock) -> None:
    recorder = ScheduledRecorder(ListRecorder())
    recorder.schedule = Schedule({schedule.SCORES: Part(60.0, "scores"), schedule.TIMED: Part(30.0, "timing")},
                                 known={"timing": 1.0}, clock=clock)
    for done in range(3):
        recorder.event(ScoringTask(subject=STUDENT, task="rt", seed=0, done=done, total=6))
        clock.now += 10.0
    assert recorder.schedule.seconds_left == pytest.approx(4 * 10.0)


def test_an_evaluation_counts_its_items_and_ends_on_request(clock: Clock) -> None:
    recorder = ScheduledRecorder(ListRecorder())
    recorder.schedule = Schedule({"language": Part(100.0, "language")}, clock=clock)
    recorder.schedule.start()
    with counted(recorder, "language", 40.0) as advance:
        for done in range(4):
            advance(done, 4)
            clock.now += 3.0
    part = recorder.schedule.parts["language"]
    assert part.done == pytest.approx(40.0) and recorder.schedule.seconds_left == pytest.approx(60 * 12 / 40, rel=0.05)
    skipped(recorder, "language", 60.0)
    assert recorder.schedule.seconds_left == 0
    impatient = ScheduledRecorder(ListRecorder(stop_after=0))
    with pytest.raises(StopRequested), counted(impatient, "language", 1.0) as advance:
        advance(0, 4)
    with pytest.raises(StopRequested), counted(NullRecorder(lambda: True), "language", 1.0) as advance:
        advance(0, 4)


def test_other_events_pass(clock: Clock) -> None:
    heard = ListRecorder()
    ScheduledRecorder(heard).event(Phase("train", STUDENT))
    assert heard.events == [Phase("train", STUDENT)]
