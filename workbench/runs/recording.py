"""The recorder of a worker: writes to the journal at once and to the store once a second, and relays stop requests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import TracebackType

from core.events import Event, Headway, Phase
from core.recorder import Recorder
from workbench.errors import StoreError
from workbench.launch.job import FOLDER
from workbench.launch.records import RecordsReader
from workbench.processes import Process
from workbench.runs.journal import Journal, read_journal
from workbench.store import Store
from workbench.store.records import EventRow, MetricRow, Progress, Run

FLUSH_SECONDS = 1.0
PATIENCE = 3.0  # seconds that a phase gets to answer a request to stop
# Phases of which nothing is half-made on the disk wherever they end, and after which a resumed run repeats what was lost. Some are one call
# of a library that hears nothing: a download, an export, a fine-tuning of the retention card.
REPEATABLE = frozenset({"load teacher", "load models", "load bridge teacher", "prepare data", "try later stages", "ask teacher", "export",
                        "time one sequence", "time a batch", "retention", "measure anchors", "measure shapes", "measure curve"})


class StoreRecorder:
    """A `core.recorder.Recorder` that keeps what a run logs, even if the process is killed the next moment.

    A thread writes to the store once a second, which is also the heartbeat, so that it continues during a long step. While the
    store cannot be written (locked, disk full) the rows wait in memory and in the journal.

    Args:
        watchers: recorders that receive the same, as a progress line.
        abandon: called where a phase of REPEATABLE does not answer a request to stop; it ends the process.
    """

    def __init__(self, store: Store, run: Run, process: Process, watchers: tuple[Recorder, ...] = (),
                 abandon: Callable[[], None] | None = None) -> None:
        self._store, self._run, self._process, self._watchers, self._abandon = store, run, process, watchers, abandon
        self._stop_seen: float | None = None
        recover(store, run)
        self._journal = Journal(run.journal_path)
        self._journal.clear()
        self._metrics: list[MetricRow] = []
        self._events: list[EventRow] = []
        self._progress, self._said = run.progress, time.monotonic()
        self._lock = threading.Lock()
        self._stop = False  # a plain flag, since a signal handler sets it and may not wait for a lock
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="recorder", daemon=True)

    def __enter__(self) -> StoreRecorder:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._done.set()
        self._thread.join()
        self.flush()
        self._journal.close()

    @property
    def progress(self) -> Progress:
        """The latest progress of the run."""
        return self._progress

    def log(self, variant: str, step: int, metrics: Mapping[str, float]) -> None:
        """Keep the numbers of a step, first in the journal."""
        rows: list[MetricRow] = [(variant, step, name, float(value)) for name, value in metrics.items()]
        with self._lock:
            self._journal.metrics(rows)
            self._metrics += rows
            if step > 0:
                self._progress = replace(self._progress, variant=variant, step=step)
        for watcher in self._watchers:
            watcher.log(variant, step, metrics)

    def event(self, event: Event, at: float | None = None) -> None:
        """Keep an event with its time, first in the journal; of how far the run is, the latest alone.

        Args:
            at: when it happened, in seconds since 1970 (default: now).
        """
        if isinstance(event, Headway):
            with self._lock:
                self._progress = replace(self._progress, share=event.share, seconds_left=event.seconds_left, done=event.done,
                                         items=event.total)
                self._said = time.monotonic()
            for watcher in self._watchers:
                watcher.event(event)
            return
        row: EventRow = (event.kind, event.to_dict(), at or time.time())
        with self._lock:
            self._journal.event(row)
            self._events.append(row)
            if isinstance(event, Phase):
                self._progress = _entered(self._progress, event)
        for watcher in self._watchers:
            watcher.event(event)

    def should_stop(self) -> bool:
        """Return whether a stop was requested."""
        return self._stop

    def request_stop(self) -> None:
        """Make `should_stop` true; safe in a signal handler."""
        self._stop = True

    def flush(self) -> None:
        """Hand everything to the store. Raises StoreUnavailableError, and keeps the rows for the next time."""
        with self._lock:
            metrics, events, progress = list(self._metrics), list(self._events), passed(self._progress, time.monotonic() - self._said)
        stop = self._store.record(self._run.id, self._process, metrics, events, progress)
        with self._lock:
            del self._metrics[:len(metrics)], self._events[:len(events)]
            if not self._metrics and not self._events:
                self._journal.clear()
        self._stop = self._stop or stop

    def _beat(self) -> None:
        while not self._done.wait(FLUSH_SECONDS):
            try:
                self.flush()
            except StoreError as error:
                print(f"The store could not be written, trying again: {error}", flush=True)
                continue
            if self._stop and self._abandon is not None:
                self._stop_seen = self._stop_seen or time.monotonic()
                if self._progress.phase in REPEATABLE and time.monotonic() - self._stop_seen >= PATIENCE:
                    self._abandon()


def passed(progress: Progress, seconds: float) -> Progress:
    """Return how far a run is so many seconds after it said so, as during a long forward pass; a tenth of what was left always remains."""
    left, share = progress.seconds_left, progress.share
    if not left or share is None:
        return progress
    now = max(left - seconds, left / 10)
    return replace(progress, seconds_left=now, share=1 - (1 - share) * now / left)


def recover(store: Store, run: Run) -> None:
    """Bring into the store what a killed worker had noted and not yet handed over; does no harm a second time."""
    metrics, events = read_journal(run.journal_path)
    left = Leftover()
    RecordsReader(run.directory / FOLDER).pass_on(left)  # of the processes that it looked after
    store.log_metrics(run.id, [*left.metrics, *metrics])
    store.log_events(run.id, [*left.events, *events])


class Leftover:
    """Takes what processes of a run have recorded, as rows."""

    def __init__(self) -> None:
        self.metrics: list[MetricRow] = []
        self.events: list[EventRow] = []

    def log(self, variant: str, step: int, metrics: Mapping[str, float]) -> None:
        """Keep numbers."""
        self.metrics += [(variant, step, name, value) for name, value in metrics.items()]

    def event(self, event: Event, at: float | None = None) -> None:
        """Keep an event; of how far a run was, nothing."""
        if not isinstance(event, Headway):
            self.events.append((event.kind, event.to_dict(), at or time.time()))

    def should_stop(self) -> bool:
        """Return False: nothing runs any more."""
        return False


def _entered(progress: Progress, phase: Phase) -> Progress:
    variant = phase.variant or progress.variant
    return Progress(phase.name, variant, progress.step if variant == progress.variant else 0, phase.total_steps or progress.total,
                    progress.share, progress.seconds_left)
