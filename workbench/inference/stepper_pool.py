"""Trainings that wait between two steps, for lessons that look at one step after another; the one not used for longest makes room.

Lives in the engine process.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from core.config import ExperimentConfig
from core.models import catalog
from workbench.inference.model_pool import IDLE_SECONDS, free_memory

if TYPE_CHECKING:
    from core.methods.stepping import Stepper, TrainingStep

MOST_STEPPERS = 2  # each has its models and its optimiser in memory


class StepperPool:
    """Keeps trainings where they are between two calls of `step`, of which the caller makes one at a time."""

    def __init__(self) -> None:
        # By the digest of their configuration, each with the time of its last step in seconds of the monotonic clock; the one that was
        # used last at the end. One that takes a step is not in it.
        self._waiting: dict[str, tuple[Stepper, float]] = {}
        self._lock = threading.Lock()  # guards the table

    def step(self, config: ExperimentConfig, number: int) -> TrainingStep:
        """Take a training to its step of that number, from the beginning if it is past it, and return the step.

        Raises:
            StillhouseError: as `core.methods.stepping.Stepper` and its `step` raise.
        """
        from core.methods.stepping import Stepper

        key = config.digest()
        with self._lock:
            stepper, _ = self._waiting.pop(key, (None, 0.0))
        if stepper is not None and stepper.number >= number:  # somebody is further: the steps are the same again
            stepper.close()
            stepper = None
        if stepper is None:
            self._make_room()
            stepper = Stepper(config, catalog.load)
        try:
            step = stepper.step()
            while step.number < number:
                step = stepper.step()
        except BaseException:
            stepper.close()
            raise
        with self._lock:
            self._waiting[key] = stepper, time.monotonic()
        return step

    def drop_idle(self, seconds: float = IDLE_SECONDS) -> None:
        """Close every training that has waited for so long, from any thread; 0 for all that wait. Their steps can be taken again."""
        latest = time.monotonic() - seconds
        with self._lock:
            idle = [key for key, (_, used) in self._waiting.items() if used <= latest]
            dropped = [self._waiting.pop(key)[0] for key in idle]
        if dropped:
            _close(dropped)

    def _make_room(self) -> None:
        """Close the trainings that were not used for longest, so that one more can be kept."""
        with self._lock:
            surplus = list(self._waiting)[:max(len(self._waiting) + 1 - MOST_STEPPERS, 0)]
            dropped = [self._waiting.pop(key)[0] for key in surplus]
        if dropped:
            _close(dropped)


def _close(steppers: list[Stepper]) -> None:
    """Close trainings and hand back their memory; the list is empty afterwards."""
    while steppers:
        steppers.pop().close()
    free_memory()
