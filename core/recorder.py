"""The observer that training calls. The engine never knows who is watching.

An experiment trains one or two *arms*: ``student`` and, when asked for, ``control`` (the same student for the same
tokens with no teacher). Every call names its arm, so that the curves of both stay side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

STUDENT, CONTROL = "student", "control"


class StopRequested(Exception):
    """The user asked to stop, and what was under way left it at that. What had ended before is kept, and calling it again goes on."""


class Recorder(Protocol):
    """What `core.methods.distillation.distill` needs from whoever watches it."""

    def log(self, arm: str, step: int, metrics: Mapping[str, float]) -> None:
        """Record numbers at an optimiser step (1-based; 0 is before training). Names are those of `core.metrics`.
        The same (arm, step, name) logged again, as after a resume, replaces the earlier value."""

    def event(self, kind: str, payload: Mapping[str, Any]) -> None:
        """Record something that is not a number: ``phase``, ``plan``, ``samples``, ``report``, ``warning``.
        The payload is JSON-serialisable."""

    def should_stop(self) -> bool:
        """True once the user asked to stop; training then finishes the step, saves and returns."""


class ListRecorder:
    """Keeps everything in two lists; for tests, notebooks and scripts.

    Args:
        stop_after: ask to stop once this many steps have been logged for any arm (None: never).
    """

    def __init__(self, stop_after: int | None = None) -> None:
        self.rows: list[tuple[str, int, str, float]] = []
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.stop_after = stop_after

    def log(self, arm: str, step: int, metrics: Mapping[str, float]) -> None:
        self.rows.extend((arm, step, name, float(value)) for name, value in metrics.items())

    def event(self, kind: str, payload: Mapping[str, Any]) -> None:
        self.events.append((kind, dict(payload)))

    def should_stop(self) -> bool:
        return self.stop_after is not None and any(step >= self.stop_after for _, step, _, _ in self.rows)

    def series(self, arm: str, name: str) -> dict[int, float]:
        """The curve of one metric: step -> last value logged at that step."""
        return {step: value for row_arm, step, row_name, value in self.rows if (row_arm, row_name) == (arm, name)}
