"""The observer that training calls. The engine never knows who is watching.

An experiment trains one or two *variants*: ``student`` and, where the recipe sets ``control``, ``control`` (the same student trained on
the same tokens without a teacher). Every call names its variant, so that the curves of both can be shown side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from core.events import CONTROL as CONTROL
from core.events import STUDENT as STUDENT
from core.events import Event

E = TypeVar("E")
Advance = Callable[[int, int], None]  # items that are done, items in all (0: not known); it may raise `StopRequested`


class StopRequested(Exception):  # noqa: N818 -- a user's request, no error
    """Raised when the user requests a stop. Finished work is kept; calling again resumes.

    Attributes:
        report: of the run as far as it is known; None until a method attaches it (`core.methods.run_folder.stop_reported`).
    """

    def __init__(self, report: Event | None = None) -> None:
        super().__init__("The user requested a stop.")
        self.report = report


class Recorder(Protocol):
    """The interface that `core.methods` logs to and polls for stop requests."""

    def log(self, variant: str, step: int, metrics: Mapping[str, float]) -> None:
        """Record numbers at an optimiser step (1-based; 0 is before training).

        Names are those of `core.metrics`. The same (variant, step, name) logged again, as after a resume, replaces the earlier value.
        """

    def event(self, event: Event) -> None:
        """Record something that is not a number; see `core.events`."""

    def should_stop(self) -> bool:
        """Return whether the user has requested a stop.

        Training then finishes the step, saves a checkpoint and raises `StopRequested`.
        """


def stop_if_requested(recorder: Recorder) -> None:
    """Raise `StopRequested` if the user has requested a stop."""
    if recorder.should_stop():
        raise StopRequested


def unwatched(done: int, total: int) -> None:
    """Be what `Advance` is where nobody follows."""


class NullRecorder:
    """Records nothing.

    Args:
        should_stop: polled for stop requests (default: there are none).
    """

    def __init__(self, should_stop: Callable[[], bool] = lambda: False) -> None:
        self.should_stop = should_stop

    def log(self, variant: str, step: int, metrics: Mapping[str, float]) -> None:
        """Drop the numbers."""

    def event(self, event: Event) -> None:
        """Drop the event."""


class ListRecorder:
    """Keeps everything in two lists; for tests, notebooks and scripts.

    Args:
        stop_after: request a stop once this many steps have been logged for any variant (0: at once; None: never).
    """

    def __init__(self, stop_after: int | None = None) -> None:
        self.rows: list[tuple[str, int, str, float]] = []
        self.events: list[Event] = []
        self.stop_after = stop_after

    def log(self, variant: str, step: int, metrics: Mapping[str, float]) -> None:
        """Append one row a number."""
        self.rows.extend((variant, step, name, float(value)) for name, value in metrics.items())

    def event(self, event: Event) -> None:
        """Append the event."""
        self.events.append(event)

    def of(self, kind: type[E]) -> list[E]:
        """Return the events of a type."""
        return [event for event in self.events if isinstance(event, kind)]

    def should_stop(self) -> bool:
        """Return whether any variant has logged `stop_after` steps."""
        return self.stop_after is not None and max((step for _, step, _, _ in self.rows), default=0) >= self.stop_after

    def series(self, variant: str, name: str) -> dict[int, float]:
        """Return the curve of one metric: step -> last value logged at that step."""
        return {step: value for row_variant, step, row_name, value in self.rows if (row_variant, row_name) == (variant, name)}
