"""What rank 0 records, line by line in a file that others read while it grows: no process of a run needs the store.

Each line is a JSON list: ``["metrics", rows]``, ``["event", kind, payload, time]``, ``["end", report]``.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from core.events import BridgeCorpus, Evaluation, Event, Headway, Processes, RunWarning, Sample, parse_phase
from core.reports.class_scores import ClassReport
from core.reports.retention_card import Card
from core.reports.run_report import Report, parse_report
from workbench.launch.copies import paths_here, restore_json
from workbench.launch.job import STOP

FILE = "records.jsonl"
LOOK_SECONDS = 0.5  # between two looks for a request to stop
READERS: Mapping[str, Callable[[Mapping[str, Any]], Event]] = {
    "phase": parse_phase, "report": parse_report, "retention": Card.from_dict, "classes": ClassReport.from_dict, **{
        kind.kind: kind.from_dict for kind in (Headway, Processes, Evaluation, Sample, BridgeCorpus, RunWarning)}}


class TimedRecorder(Protocol):
    """A recorder that takes events with the time at which they happened."""

    def log(self, variant: str, step: int, metrics: Mapping[str, float]) -> None:
        """Record numbers; as `core.recorder.Recorder`."""

    def event(self, event: Event, at: float | None = None) -> None:
        """Record an event of a time in seconds since 1970 (default: now)."""

    def should_stop(self) -> bool:
        """Return whether the user has requested a stop."""


class RecordsWriter:
    """The recorder of rank 0: appends to the file, and stops where the folder says so or a signal did.

    Args:
        folder: ``ranks/`` of the run.

    Attributes:
        interrupted: the signal that requested a stop; 0 where none did.
    """

    def __init__(self, folder: Path) -> None:
        self.interrupted = 0
        self._stop_file, self._stop, self._looked = folder / STOP, False, -LOOK_SECONDS
        self._file = os.open(folder / FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)

    def log(self, variant: str, step: int, metrics: Mapping[str, float]) -> None:
        """Append the numbers of a step."""
        self._append(["metrics", [(variant, step, name, float(value)) for name, value in metrics.items()]])

    def event(self, event: Event) -> None:
        """Append an event with its time."""
        self._append(["event", event.kind, event.to_dict(), time.time()])

    def end(self, report: Report) -> None:
        """Append how the run ended."""
        self._append(["end", report.to_dict()])

    def on_signal(self, number: int, _frame: FrameType | None) -> None:
        """Make `should_stop` true on behalf of the place that the run is in; the run is to continue later."""
        self.interrupted = self.interrupted or number
        self._stop = True

    def should_stop(self) -> bool:
        """Return whether a stop was requested."""
        now = time.monotonic()
        if not self._stop and now - self._looked >= LOOK_SECONDS:
            self._looked, self._stop = now, self._stop_file.exists()
        return self._stop

    def _append(self, entry: list[Any]) -> None:
        line = (json.dumps(entry) + "\n").encode()
        while line:
            line = line[os.write(self._file, line):]


class RecordsReader:
    """Reads what is new in a run's records.

    Args:
        folder: ``ranks/`` of the run.

    Attributes:
        report: of the run, once rank 0 has ended well.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._offset = folder, 0
        self.report: Report | None = None

    def pass_on(self, recorder: TimedRecorder) -> bool:
        """Hand everything that is new to a recorder; return whether there was anything."""
        entries = list(self._entries())
        for kind, group in groupby(entries, key=lambda entry: entry[0]):
            if kind == "metrics":
                rows = [row for entry in group for row in entry[1]]
                for (variant, step), numbers in groupby(rows, key=lambda row: (row[0], row[1])):
                    recorder.log(variant, step, {name: value for _, _, name, value in numbers})
                continue
            for entry in group:
                if kind == "event":
                    recorder.event(READERS[entry[1]](entry[2]), entry[3])
                else:
                    self.report = parse_report(entry[1])
        return bool(entries)

    def _entries(self) -> Iterator[list[Any]]:
        """Yield the lines that were written to their end since the last look."""
        try:
            with open(self._folder / FILE, "rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return
        whole = data[:data.rfind(b"\n") + 1]
        self._offset += len(whole)
        paths = paths_here(self._folder) if whole else {}
        for line in whole.splitlines():
            yield json.loads(restore_json(line.decode(), paths))
