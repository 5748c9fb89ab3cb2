"""How much of a run is done, and how long the rest will take: every part of it weighted by what such parts have cost so far.

Before anything of a kind is measured its seconds follow from its arithmetic, 2 FLOP for each parameter and token forwards and 4 backwards
(2001.08361, section 2.1), at the speed of what has been measured. All time counts: what lies between two pieces belongs to the next.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from core.events import Event, Headway, ScoringTask
from core.recorder import Advance, Recorder, stop_if_requested

TIMED, SCORES = "timing", "scores"  # parts that are the retention card; the first is in seconds
SAY = 0.5  # seconds between two reports
RECENT = 20  # pieces over which a speed is averaged: a machine's changes while others use it


@dataclass
class Part:
    """Work of one kind, which costs seconds in proportion to its amount.

    Attributes:
        amount: of the whole run; FLOP, or seconds where the recipe sets them.
        kind: parts of one kind have one speed.
        done: how much of it is over.
    """

    amount: float
    kind: str
    done: float = 0.0

    @property
    def left(self) -> float:
        """How much is left."""
        return max(self.amount - self.done, 0.0)


@dataclass
class _Speed:
    """Seconds and amount of the latest pieces of a kind, older ones weighing less."""

    seconds: float = 0.0
    amount: float = 0.0

    def add(self, seconds: float, amount: float) -> None:
        keep = 1 - 1 / RECENT
        self.seconds, self.amount = keep * self.seconds + seconds, keep * self.amount + amount


@dataclass
class Schedule:
    """The parts of a run.

    Attributes:
        parts: name -> part.
        spent: seconds that the run has taken before this call.
        known: kind -> seconds for one of its amount, where they are known before any of it is measured.
        clock: seconds of a clock that never goes back.
    """

    parts: dict[str, Part]
    spent: float = 0.0
    known: Mapping[str, float] = field(default_factory=dict)
    clock: Callable[[], float] = time.monotonic
    _speeds: dict[str, _Speed] = field(default_factory=dict)
    _mark: float | None = None
    _share: float = 0.0

    def __post_init__(self) -> None:
        self._began = self.clock()

    def start(self) -> None:
        """Begin the next piece now: the time before belongs to none."""
        self._mark = self.clock()

    def add(self, name: str, amount: float) -> None:
        """Note that so much more of a part is over; the time since the last piece was its."""
        part, now = self.parts.get(name), self.clock()
        if part is None or amount <= 0:
            return
        if self._mark is not None:
            self._speeds.setdefault(part.kind, _Speed()).add(now - self._mark, amount)
        part.done, self._mark = part.done + amount, now

    def skip(self, name: str, amount: float) -> None:
        """Note that so much of a part is over without its time, as where it was kept."""
        if name in self.parts:
            self.parts[name].done += amount

    @property
    def seconds_left(self) -> float | None:
        """Seconds that the rest will take; None before anything was measured."""
        measured = [speed for speed in self._speeds.values() if speed.amount]
        if not measured:
            return None
        usual = sum(speed.seconds for speed in measured) / sum(speed.amount for speed in measured)
        return sum(part.left * self._seconds_each(part.kind, usual) for part in self.parts.values())

    def _seconds_each(self, kind: str, usual: float) -> float:
        speed = self._speeds.get(kind)
        return speed.seconds / speed.amount if speed is not None and speed.amount else self.known.get(kind, usual)

    @property
    def share(self) -> float:
        """How much of the run's time is over, 0 to 1; it never falls."""
        left = self.seconds_left
        if left is not None:
            over = self.spent + self.clock() - self._began
            self._share = max(self._share, over / (over + left) if over + left else 1.0)
        return self._share


class ScheduledRecorder:
    """A recorder that also says how far the run is.

    Args:
        recorder: receives everything.

    Attributes:
        schedule: of the run; without parts until it is known.
        step_amount: variant -> amount of one of its steps.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder, self.schedule, self.step_amount = recorder, Schedule({}), dict[str, float]()
        self._said, self._steps = float("-inf"), dict[str, int]()

    def log(self, variant: str, step: int, metrics: Mapping[str, float]) -> None:
        """Pass numbers on; a loss ends the steps up to this one."""
        self.recorder.log(variant, step, metrics)
        if "loss" in metrics and variant in self.step_amount:
            name, amount = f"steps {variant}", self.step_amount[variant]
            if variant in self._steps:
                self.schedule.add(name, (step - self._steps[variant]) * amount)
            else:  # the first step warms up, and after a resume earlier ones were taken by another call
                self.schedule.skip(name, step * amount - self.schedule.parts[name].done)
                self.schedule.start()
            self._steps[variant] = step
            self.say()

    def event(self, event: Event) -> None:
        """Pass an event on."""
        self.recorder.event(event)
        if isinstance(event, ScoringTask) and (part := self.schedule.parts.get(SCORES)):
            self.schedule.add(SCORES, event.done / event.total * part.amount - part.done)
            self.schedule.skip(TIMED, math.inf)  # the card's times come before its scores
            self.schedule.start()
            self.say(event.done, event.total)

    def should_stop(self) -> bool:
        """Return whether the user has requested a stop."""
        return self.recorder.should_stop()

    def say(self, done: int = 0, total: int = 0) -> None:
        """Report how far the run is, unless it was reported a moment ago."""
        now = time.monotonic()
        if now - self._said >= SAY:
            self._said = now
            self.recorder.event(Headway(self.schedule.share, self.schedule.seconds_left, done, total))


def skipped(recorder: Recorder, name: str, amount: float) -> None:
    """Note that so much of a part need not be done."""
    if isinstance(recorder, ScheduledRecorder):
        recorder.schedule.skip(name, amount)


@contextmanager
def counted(recorder: Recorder, name: str, amount: float) -> Iterator[Advance]:
    """Yield what an evaluation calls with the items that are done: it counts them, says so, and raises StopRequested on request.

    Args:
        recorder: of the run; any but a `ScheduledRecorder` is only polled.
        amount: of the part `name` that the evaluation is.
    """
    schedule = recorder.schedule if isinstance(recorder, ScheduledRecorder) else Schedule({})
    over = 0.0

    def advance(done: int, total: int) -> None:
        nonlocal over
        stop_if_requested(recorder)
        reached = amount * done / total if total else 0.0
        schedule.add(name, reached - over)
        over = max(over, reached)
        if isinstance(recorder, ScheduledRecorder):
            recorder.say(done, total)

    yield advance
    schedule.add(name, amount - over)
