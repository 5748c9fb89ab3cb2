"""What a worker has logged and the store may not have yet, line by line in the run's folder.

The store is written once a second; a process killed in between would take up to a second of numbers with it. Each line
is handed to the operating system at once, and outlives the process. Reading the same line twice does no harm: in the
store a number replaces the one of the same variant, step and name, and an event itself (`workbench.store.run_log.insert`).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from workbench.store.records import EventRow, MetricRow


class Journal:
    """Append-only file of one worker. Writing raises OSError, as when the disk is full."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)

    def metrics(self, rows: list[MetricRow]) -> None:
        """Note numbers."""
        self._append(["metrics", rows])

    def event(self, row: EventRow) -> None:
        """Note an event."""
        self._append(["event", row])

    def clear(self) -> None:
        """Forget everything: the store has it."""
        os.ftruncate(self._file, 0)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _append(self, entry: list[Any]) -> None:
        line = (json.dumps(entry) + "\n").encode()
        while line:
            line = line[os.write(self._file, line):]  # on a disk about to be full a part is written; the rest then raises


def read_journal(path: Path) -> tuple[list[MetricRow], list[EventRow]]:
    """Numbers and events of a journal, in their order; both empty when there is none."""
    metrics: list[MetricRow] = []
    events: list[EventRow] = []
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return metrics, events
    for line in lines:
        try:
            kind, content = json.loads(line)
        except ValueError:
            continue  # the process died, or the disk was full, in the middle of this line
        if kind == "metrics":
            metrics += [tuple(row) for row in content]
        else:
            events.append(tuple(content))
    return metrics, events
