"""Sweeps in the store: what each is, and which runs are its. A run may belong to several: a repetition takes in the run it repeats."""

from __future__ import annotations

import difflib
import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from core.errors import RunVerb
from core.studies.sweeps.cells import SweepSpec
from workbench.errors import SweepNotFoundError, WrongStatusError
from workbench.store.database import Database
from workbench.store.names import free_name, new_ids
from workbench.store.records import ACTIVE, Run, run_from_row
from workbench.store.run_log import RunLog

LIST = RunVerb("sweeps", "list")
AT_WORK = ("queued", *ACTIVE)


@dataclass(frozen=True)
class Sweep:
    """One row of the table ``sweeps``. Times are seconds since 1970.

    Attributes:
        left_out: settings that could not be trained, each with ``cell``, ``given``, ``expected`` and ``fix``.
        command: the line that repeats it.
    """

    id: str
    name: str
    spec_json: str
    left_out: list[dict[str, Any]]
    command: str
    created: float
    deleted: float | None

    @cached_property
    def spec(self) -> SweepSpec:
        """What it is. Raises ConfigError if a later release no longer reads its recipe; everything else still works."""
        return SweepSpec.from_dict(json.loads(self.spec_json))

    @property
    def keys(self) -> list[str]:
        """The keys that vary; readable even where `spec` is not."""
        return [axis["key"] for axis in json.loads(self.spec_json)["axes"]]


@dataclass(frozen=True, slots=True)
class SweepRun:
    """A run of a sweep.

    Attributes:
        cell: number of its setting, from 1.
        chosen: key -> value of the setting, as it was given.
        own: whether the sweep queued it; one that was there before stays where it is when the sweep goes to the bin.
    """

    run: Run
    cell: int
    chosen: Mapping[str, str]
    own: bool


class SweepTable(RunLog):
    """The part of the store that knows sweeps.

    Args:
        runs_dir: folder of the runs' folders.
    """

    def __init__(self, database: Database, runs_dir: Path) -> None:
        super().__init__(database)
        self.runs_dir = runs_dir

    def sweep(self, reference: str) -> Sweep:
        """Return the sweep of that id or name. Raises SweepNotFoundError."""
        with self._database.read() as connection:
            row = connection.execute("SELECT * FROM sweeps WHERE id = ? OR name = ?", (reference, reference)).fetchone()
            names = [each["name"] for each in connection.execute("SELECT name FROM sweeps WHERE deleted IS NULL")] if row is None else []
        if row is not None:
            return _sweep(row)
        near = difflib.get_close_matches(reference, names, n=1, cutoff=0.5)
        raise SweepNotFoundError(f"There is no sweep '{reference}'.", "A sweep's id or name was expected.",
                                 f"Did you mean '{near[0]}'?" if near else "See the list of sweeps.",
                                 suggestion=None if near else LIST)

    def sweeps(self, *, include_deleted: bool = False) -> list[Sweep]:
        """Return sweeps, newest first."""
        where = "1" if include_deleted else "deleted IS NULL"
        with self._database.read() as connection:
            return [_sweep(row) for row in connection.execute(f"SELECT * FROM sweeps WHERE {where} ORDER BY rowid DESC")]

    def sweep_runs(self, sweep_id: str, *, include_deleted: bool = False) -> list[SweepRun]:
        """Return the runs of a sweep by setting, then by seed; without those in the bin, unless they are wanted."""
        query = ("SELECT runs.*, sweep_runs.cell, sweep_runs.chosen, sweep_runs.own FROM sweep_runs JOIN runs ON runs.id = run_id"
                 f" WHERE sweep_id = ? {'' if include_deleted else 'AND runs.deleted IS NULL'} ORDER BY cell, seed, runs.rowid")
        with self._database.read() as connection:
            return [SweepRun(run_from_row(row, self.runs_dir), row["cell"], json.loads(row["chosen"]), bool(row["own"]))
                    for row in connection.execute(query, (sweep_id,))]

    def sweeps_of_runs(self, run_id: str | None = None) -> dict[str, Sweep]:
        """Return run id -> the sweep that queued it, of all runs or of one; runs that no sweep queued are not there."""
        query = ("SELECT sweeps.*, run_id FROM sweep_runs JOIN sweeps ON sweeps.id = sweep_id WHERE own AND sweeps.deleted IS NULL"
                 " AND (? IS NULL OR run_id = ?)")
        with self._database.read() as connection:
            return {row["run_id"]: _sweep(row) for row in connection.execute(query, (run_id, run_id))}

    def insert_sweep(self, connection: sqlite3.Connection, name: str, spec: SweepSpec, left_out: Sequence[Mapping[str, Any]],
                     command: str, runs: Sequence[tuple[str, int, Mapping[str, str], bool]]) -> str:
        """Write a sweep with its runs inside a transaction, and return its id.

        Args:
            name: made unique by a number.
            runs: id of a run, its cell, what was chosen for it, whether it is the sweep's own.
        """
        sweep_id = new_ids(1, self.runs_dir)[0]
        connection.execute("INSERT INTO sweeps (id, name, spec, left_out, command, created) VALUES (?, ?, ?, ?, ?, ?)",
                           (sweep_id, free_name(connection, name, "sweeps"), json.dumps(spec.to_dict()), json.dumps(list(left_out)),
                            command, time.time()))
        connection.executemany("INSERT INTO sweep_runs (sweep_id, run_id, cell, chosen, own) VALUES (?, ?, ?, ?, ?)",
                               [(sweep_id, run_id, cell, json.dumps(dict(chosen)), own) for run_id, cell, chosen, own in runs])
        return sweep_id

    def delete_sweep(self, reference: str) -> Sweep:
        """Put a sweep and its own runs into the bin, together. Raises WrongStatusError while one of them waits or is active."""
        sweep, now = self.sweep(reference), time.time()
        if sweep.deleted is not None:
            return sweep
        own = "id IN (SELECT run_id FROM sweep_runs WHERE sweep_id = ? AND own)"
        with self._database.write() as connection:
            busy = connection.execute(f"SELECT count(*) FROM runs WHERE {own} AND status IN {AT_WORK} AND deleted IS NULL",
                                      (sweep.id,)).fetchone()[0]
            if busy:
                raise WrongStatusError(f"{busy} run{'s' if busy > 1 else ''} of the sweep '{sweep.name}' wait or train.",
                                       "A sweep whose runs have all ended was expected.", "Stop all its runs first.")
            connection.execute(f"UPDATE runs SET deleted = ? WHERE {own} AND deleted IS NULL", (now, sweep.id))
            connection.execute("UPDATE sweeps SET deleted = ? WHERE id = ?", (now, sweep.id))
        return self.sweep(sweep.id)

    def restore_sweep(self, reference: str) -> Sweep:
        """Take a sweep out of the bin, with the runs that went there with it. Raises WrongStatusError if it is not there."""
        sweep = self.sweep(reference)
        if sweep.deleted is None:
            raise WrongStatusError(f"The sweep '{sweep.name}' is not in the bin.", "A sweep that was deleted was expected.",
                                   "See the list of sweeps.", suggestion=LIST)
        with self._database.write() as connection:
            connection.execute("UPDATE runs SET deleted = NULL WHERE deleted = ? AND id IN"
                               " (SELECT run_id FROM sweep_runs WHERE sweep_id = ? AND own)", (sweep.deleted, sweep.id))
            connection.execute("UPDATE sweeps SET deleted = NULL WHERE id = ?", (sweep.id,))
        return self.sweep(sweep.id)

    def forget_sweep(self, sweep_id: str) -> None:
        """Remove the row of a sweep whose runs are purged; those that were there before stay."""
        with self._database.write() as connection:
            connection.execute("DELETE FROM sweeps WHERE id = ? AND deleted IS NOT NULL", (sweep_id,))


def _sweep(row: sqlite3.Row) -> Sweep:
    return Sweep(row["id"], row["name"], row["spec"], json.loads(row["left_out"]), row["command"], row["created"], row["deleted"])
