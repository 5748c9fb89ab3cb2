"""Numbers and events of runs, in the store: written by workers, read by pages that poll."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from core.events import Evaluation
from core.reports.run_report import Report, parse_report
from workbench.store.database import Database
from workbench.store.records import Event, EventRow, MetricRow

if TYPE_CHECKING:
    import pandas

SAME_EVENT = ("arm", "step", "who", "prompt")  # keys of a payload with a step that say which event it is


class RunLog:
    """The part of the store that grows while runs train."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def log_metrics(self, run_id: str, rows: Iterable[MetricRow]) -> None:
        """Write (variant, step, name, value) rows; a value logged again replaces the earlier one. NaN is kept as NaN."""
        with self._database.write() as connection:
            insert(connection, run_id, rows, ())

    def log_events(self, run_id: str, rows: Iterable[EventRow]) -> None:
        """Write (kind, payload, time) rows, payloads JSON-serialisable; what replaces what: see `insert`."""
        with self._database.write() as connection:
            insert(connection, run_id, (), rows)

    def metrics(self, run_id: str, variant: str | None = None, names: Sequence[str] | None = None, *, after_step: int | None = None,
                after_rowid: int = 0) -> pandas.DataFrame:
        """Return logged numbers as columns ``rowid``, "arm" (the variant), ``step``, ``name``, ``value``, in the order of writing.

        Pass the largest ``rowid`` seen so far to read only what came since. A replaced value comes again under a new rowid:
        append, then ``drop_duplicates(["arm", "name", "step"], keep="last")``.
        """
        import pandas

        # The unary plus keeps an incremental read on the rowid; the index on run_id would walk through the whole run.
        conditions, values = [f"{'+' if after_rowid else ''}run_id = ?", "id > ?"], [run_id, after_rowid]
        if variant is not None:
            conditions.append("arm = ?")
            values.append(variant)
        if names is not None:
            conditions.append(f"name IN ({', '.join('?' * len(names))})")
            values += names
        if after_step is not None:
            conditions.append("step > ?")
            values.append(after_step)
        query = f"SELECT id, arm, step, name, value FROM metrics WHERE {' AND '.join(conditions)} ORDER BY id"
        with self._database.read() as connection:
            rows = [tuple(row) for row in connection.execute(query, values)]
        frame = pandas.DataFrame(rows, columns=["rowid", "arm", "step", "name", "value"])
        return frame.astype({"rowid": "int64", "step": "int64", "value": "float64"})

    def last_rowid(self) -> int:
        """Return the largest rowid that a number of any run ever had: while it stays the same, `metrics` has nothing new."""
        with self._database.read() as connection:
            row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'metrics'").fetchone()
        return 0 if row is None else row["seq"]

    def metric_series_tail(self, run_id: str, name: str, *, variant: str = "student", limit: int = 100) -> list[tuple[int, float]]:
        """Return the last points of one curve as (step, value), oldest first."""
        query = "SELECT step, value FROM metrics WHERE run_id = ? AND arm = ? AND name = ? ORDER BY step DESC LIMIT ?"
        with self._database.read() as connection:
            rows = connection.execute(query, (run_id, variant, name, limit)).fetchall()
        return [(row["step"], _number(row)) for row in reversed(rows)]

    def latest_metrics(self, run_id: str) -> dict[str, dict[str, float]]:
        """Variant -> name -> the value at its last step."""
        latest: dict[str, dict[str, float]] = {}
        with self._database.read() as connection:
            for row in connection.execute("SELECT arm, name, value FROM latest WHERE run_id = ?", (run_id,)):
                latest.setdefault(row["arm"], {})[row["name"]] = _number(row)
        return latest

    def latest_of_all(self, names: Sequence[str], *, variant: str = "student") -> dict[str, dict[str, float]]:
        """Run id -> name -> the value at its last step, of every run at once."""
        query = f"SELECT run_id, name, value FROM latest WHERE arm = ? AND name IN ({', '.join('?' * len(names))})"
        latest: dict[str, dict[str, float]] = {}
        with self._database.read() as connection:
            for row in connection.execute(query, (variant, *names)):
                latest.setdefault(row["run_id"], {})[row["name"]] = _number(row)
        return latest

    def events(self, run_id: str, *, after: int = 0, kind: str | None = None) -> list[Event]:
        """Events in the order of writing, later than the `seq` given."""
        query = "SELECT seq, kind, payload, time FROM events WHERE run_id = ? AND seq > ? AND (? IS NULL OR kind = ?) ORDER BY seq"
        with self._database.read() as connection:
            rows = connection.execute(query, (run_id, after, kind, kind)).fetchall()
        return [Event(row["seq"], row["kind"], json.loads(row["payload"]), row["time"]) for row in rows]

    def measurements(self, run_id: str) -> dict[str, Mapping[str, float]]:
        """Return subject -> metrics, of everything that a run has measured so far; anchors of a chain are left out."""
        found = (Evaluation.from_dict(event.payload) for event in self.events(run_id, kind=Evaluation.kind))
        return {each.subject: each.metrics for each in found if each.anchor is None}

    def last_event(self, run_id: str) -> int:
        """Return the largest `seq` of a run's events; 0 for none."""
        with self._database.read() as connection:
            return connection.execute("SELECT max(seq) FROM events WHERE run_id = ?", (run_id,)).fetchone()[0] or 0

    def report(self, run_id: str) -> Report | None:
        """Return the engine's report of a finished run; None before."""
        reports = self.events(run_id, kind="report")
        return parse_report(reports[-1].payload) if reports else None


def insert(connection: sqlite3.Connection, run_id: str, metrics: Iterable[MetricRow], events: Iterable[EventRow]) -> None:
    """Write rows inside a transaction.

    What a resumed run logs again replaces the earlier: a number of the same variant, step
    and name; an event of the same kind whose payload names the same step (and variant, subject, prompt); the same event at the same time
    where a payload names no step. Two that fall into one tick of the clock stay two.
    """
    number = "INSERT INTO metrics (run_id, arm, step, name, value) VALUES (?, ?, ?, ?, ?)"
    last = ("INSERT INTO latest (run_id, arm, step, name, value) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
            " SET step = excluded.step, value = excluded.value WHERE excluded.step >= step")
    rows = [(run_id, *row) for row in metrics]
    connection.executemany(number, rows)
    connection.executemany(last, rows)
    same = "DELETE FROM events WHERE run_id = ? AND kind = ? AND"
    event = "INSERT INTO events (run_id, kind, identity, payload, time) VALUES (?, ?, ?, ?, ?)"
    for kind, payload, when in events:
        identity = json.dumps([payload.get(key) for key in SAME_EVENT]) if "step" in payload else None
        text = json.dumps(payload)
        if identity is not None:
            connection.execute(f"{same} identity = ?", (run_id, kind, identity))
        else:
            connection.execute(f"{same} time = ? AND payload = ?", (run_id, kind, when, text))
        connection.execute(event, (run_id, kind, identity, text, when))


def _number(row: sqlite3.Row) -> float:
    return math.nan if row["value"] is None else row["value"]  # SQLite keeps NaN as NULL
