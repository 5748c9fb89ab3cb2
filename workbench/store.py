"""The run store: what was asked for, how it went, every number that was logged. Safe to share between processes.

Each change of status is one guarded UPDATE, so of two processes that try, one succeeds. Times are seconds since 1970.
"""

from __future__ import annotations

import difflib
import json
import math
import os
import re
import secrets
import shlex
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config import ExperimentConfig, parse_recipe
from core.provenance import git_commit, versions
from workbench import paths
from workbench.database import Database
from workbench.errors import RunNameTaken, RunNotFound, StoreError, StoreUnavailable, WrongStatus
from workbench.processes import Process
from workbench.records import ACTIVE, RESUMABLE, Event, EventRow, MetricRow, Progress, Run, Status, run_from_row

if TYPE_CHECKING:
    import pandas

__all__ = ["ACTIVE", "RESUMABLE", "Event", "Progress", "Run", "RunNameTaken", "RunNotFound", "Status", "Store", "StoreError",
           "StoreUnavailable", "WrongStatus"]

_ACTIVE_SQL = f"status IN {ACTIVE}"


class Store:
    """All runs of one home folder.

    Args:
        path: the SQLite file; runs' folders lie in ``runs/`` beside it. Default: the store of `paths.home()`.

    Raises:
        StoreUnavailable: from any method, when the file cannot be read or written.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or paths.store_path()
        self.home = self.path.parent
        self.runs_dir = self.home / "runs"
        self._database = Database(self.path)

    # ------------------------------------------------------------------------------------------------ finding

    def run(self, reference: str) -> Run:
        """The run of that id, name, or unambiguous beginning of an id. Raises RunNotFound."""
        with self._database.read() as connection:
            rows = connection.execute("SELECT * FROM runs WHERE id = ? OR name = ? ORDER BY id = ? DESC", (reference,) * 3).fetchall()
            if not rows and len(reference) >= 4:
                rows = connection.execute("SELECT * FROM runs WHERE substr(id, 1, ?) = ? LIMIT 2", (len(reference), reference)).fetchall()
                if len(rows) > 1:
                    raise RunNotFound(f"More than one run's id begins with '{reference}'.", "A whole id or a name was expected.",
                                      "See: python -m workbench runs")
            if rows:
                return run_from_row(rows[0], self.runs_dir)
            names = [row["name"] for row in connection.execute("SELECT name FROM runs WHERE deleted IS NULL")]
        near = difflib.get_close_matches(reference, names, n=1, cutoff=0.5)
        raise RunNotFound(f"There is no run '{reference}'.", "A run's id or name was expected.",
                          f"Did you mean '{near[0]}'?" if near else "See: python -m workbench runs")

    def runs(self, *, include_deleted: bool = False, status: Status | Iterable[Status] | None = None, limit: int | None = None) -> list[Run]:
        """Runs, newest first."""
        conditions, values = ["1"], []
        if not include_deleted:
            conditions.append("deleted IS NULL")
        if status is not None:
            wanted = [status] if isinstance(status, str) else list(status)
            conditions.append(f"status IN ({', '.join('?' * len(wanted))})")
            values += wanted
        query = f"SELECT * FROM runs WHERE {' AND '.join(conditions)} ORDER BY created DESC, id DESC LIMIT ?"
        with self._database.read() as connection:
            return [run_from_row(row, self.runs_dir) for row in connection.execute(query, (*values, -1 if limit is None else limit))]

    # ------------------------------------------------------------------------------------------------ a run's life

    def create_run(self, config: ExperimentConfig, command: str | None = None, parents: Mapping[str, str] | None = None, *,
                   device: str | None = None) -> Run:
        """Queue a new run, with a folder that holds its recipe.

        Args:
            config: its name, or one derived from its models, is made unique by a number.
            command: the line that repeats it (default: one that names the recipe in its folder).
            parents: model reference in the config -> the same reference by run id.
            device: claim it at once, for a worker in this process on that device; the queue never sees it.
        """
        run_id = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
        directory = self.runs_dir / run_id
        recipe = directory / "recipe.yaml"
        command = command or f"python -m workbench distill {shlex.quote(str(recipe))}"
        commit = git_commit()
        try:
            directory.mkdir(parents=True)
            with self._database.write() as connection:
                config = config.model_copy(update={"name": _free_name(connection, config.name or _default_name(config))})
                recipe.write_text(config.to_yaml(), encoding="utf-8")
                now = time.time()
                connection.execute(
                    "INSERT INTO runs (id, name, status, config, config_hash, seed, command, parents, versions, git_commit, created, queued) "
                    "VALUES (?, ?, 'queued', ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (run_id, config.name, json.dumps(config.to_dict()), config.digest(), config.train.seed, command,
                     json.dumps(dict(parents or {})), json.dumps(versions()), commit, now, now))
                if device is not None:
                    _claim(connection, run_id, device)
        except OSError as error:
            shutil.rmtree(directory, ignore_errors=True)
            raise StoreUnavailable(f"The run's folder {directory} cannot be made: {(error.strerror or str(error)).lower()}.",
                                   "A folder that can be written, with free space, was expected.",
                                   "Free some space, or set STILLHOUSE_HOME to another folder.") from error
        except StoreError:
            shutil.rmtree(directory, ignore_errors=True)
            raise
        return self.run(run_id)

    def claim(self, run_id: str, device: str) -> bool:
        """Take a queued run for this device: ``queued`` -> ``starting``. False if somebody else was faster."""
        with self._database.write() as connection:
            return _claim(connection, run_id, device)

    def claim_next(self, choose_slot: Callable[[str, set[str]], str | None]) -> Run | None:
        """Take the queued run that waits longest among those whose device is free.

        Args:
            choose_slot: (device asked for in the config, slots in use) -> the slot to occupy, or None while none is free.
        """
        with self._database.write() as connection:
            busy = {row["device"] for row in connection.execute(f"SELECT device FROM runs WHERE {_ACTIVE_SQL}")}
            queued = connection.execute("SELECT id, config FROM runs WHERE status = 'queued' AND deleted IS NULL ORDER BY queued, id").fetchall()
            for row in queued:
                slot = choose_slot(json.loads(row["config"])["train"]["device"], busy)
                if slot is not None and _claim(connection, row["id"], slot):
                    break
            else:
                return None
        return self.run(row["id"])

    def report_in(self, run_id: str, process: Process) -> bool:
        """The worker's first word: ``starting`` -> ``running``. False if another worker was first or the run was taken back."""
        return self._update(
            run_id, f"{_ACTIVE_SQL} AND heartbeat IS NULL",
            status="stopping" if self.run(run_id).stop_requested else "running", pid=process.pid, pid_started=process.started,
            boot_id=process.boot_id, heartbeat=time.time(), versions=json.dumps(versions()), git_commit=git_commit())

    def note_launch(self, run_id: str, process: Process) -> None:
        """The launcher's word for a worker that may die before its first: lets `lost` be seen at once."""
        self._update(run_id, f"{_ACTIVE_SQL} AND pid IS NULL", pid=process.pid, pid_started=process.started, boot_id=process.boot_id)

    def record(self, run_id: str, process: Process, metrics: Iterable[MetricRow], events: Iterable[EventRow], progress: Progress) -> bool:
        """Write what a worker has gathered, in one transaction; returns whether it should stop.

        What a resumed run logs again replaces the earlier: a number of the same arm, step and name; an event of the same kind,
        arm, step, subject (``who``) and prompt, or of the very same time. A worker that no longer owns the run is told to stop,
        and what it logged is still kept.
        """
        with self._database.write() as connection:
            _insert(connection, run_id, metrics, events)
            owned = connection.execute(
                f"UPDATE runs SET heartbeat = ?, phase = ?, arm = ?, step = ?, total_steps = ? WHERE id = ? AND pid = ? AND {_ACTIVE_SQL} "
                "RETURNING stop_requested",
                (time.time(), progress.phase, progress.arm, progress.step, progress.total, run_id, process.pid)).fetchone()
        return owned is None or owned["stop_requested"] is not None

    def finish(self, run_id: str, status: Status, message: str = "", hint: str = "", *, process: Process | None = None) -> bool:
        """End an active run as `status`. False if it had ended already, or belongs to another process than the one given."""
        ending = {"status": status, "message": message, "hint": hint, "finished": time.time(), "phase": None}
        if process is None:
            return self._update(run_id, _ACTIVE_SQL, **ending)
        return self._update(run_id, f"{_ACTIVE_SQL} AND pid = {process.pid}", **ending, pid=None, pid_started=None, boot_id=None)

    def request_stop(self, reference: str) -> Run:
        """Ask a run to stop: a queued one is cancelled, a running one saves a checkpoint first. Raises WrongStatus if it has ended."""
        run = self.run(reference)
        now = time.time()
        if self._update(run.id, "status = 'queued'", status="stopped", message="Cancelled before it started.", hint="", finished=now):
            return self.run(run.id)
        if self._update(run.id, _ACTIVE_SQL, status="stopping", stop_requested=now):
            return self.run(run.id)
        raise WrongStatus(f"The run '{run.name}' is {self.run(run.id).status}.", "Only a queued or running run can be stopped.")

    def requeue(self, reference: str) -> Run:
        """Queue a stopped, failed or lost run again under its own id; it goes on from its last checkpoint. Raises WrongStatus."""
        run = self.run(reference)
        if run.process is not None and run.process.alive and not run.active:
            raise WrongStatus(f"The process of the run '{run.name}' (pid {run.process.pid}) still lives.", "",
                              "Wait a few seconds for it to end, then resume.")
        if self._update(run.id, f"status IN {RESUMABLE} AND deleted IS NULL", status="queued", queued=time.time(), finished=None, message=None,
                        hint=None, stop_requested=None, heartbeat=None, pid=None, pid_started=None, boot_id=None):
            return self.run(run.id)
        run = self.run(run.id)
        expected = f"Only a run that is {', '.join(RESUMABLE[:-1])} or {RESUMABLE[-1]} can be resumed."
        if run.deleted is not None:
            raise WrongStatus(f"The run '{run.name}' is in the bin.", expected, f"Restore it first: python -m workbench restore {run.name}")
        raise WrongStatus(f"The run '{run.name}' is {run.status}.", expected, "To train it again, start a new run from its recipe.")

    # ------------------------------------------------------------------------------------------------ keeping house

    def rename(self, reference: str, name: str) -> Run:
        """Give a run another name. Raises ConfigError for an impossible name, RunNameTaken."""
        run = self.run(reference)
        parse_recipe({"name": name})  # says what is wrong with it
        config = json.loads(run.config_json) | {"name": name}
        with self._database.write() as connection:
            if _taken(connection, name, except_id=run.id):
                raise RunNameTaken(f"Another run is called '{name}'.", "Names are unique, the bin included.", "Choose another name.")
            connection.execute("UPDATE runs SET name = ?, config = ? WHERE id = ?", (name, json.dumps(config), run.id))
        return self.run(run.id)

    def duplicate(self, reference: str) -> ExperimentConfig:
        """The configuration of a run, to start a new one from; `create_run` numbers the name."""
        return self.run(reference).config

    def delete(self, reference: str) -> Run:
        """Put a run into the bin; `restore` undoes it, `purge` empties it. Raises WrongStatus while it is active."""
        run = self.run(reference)
        if self._update(run.id, f"NOT {_ACTIVE_SQL} AND deleted IS NULL", deleted=time.time(),
                        status="stopped" if run.status == "queued" else run.status):
            return self.run(run.id)
        run = self.run(run.id)
        if run.deleted is not None:
            return run
        raise WrongStatus(f"The run '{run.name}' is {run.status}.", "A run that has ended was expected.",
                          f"Stop it first: python -m workbench stop {run.name}")

    def restore(self, reference: str) -> Run:
        """Take a run out of the bin."""
        run = self.run(reference)
        self._update(run.id, "1", deleted=None)
        return self.run(run.id)

    def discard(self, reference: str) -> None:
        """Remove a run that never came to training, as if it had not been asked for. Raises WrongStatus while it is active."""
        self.purge(self.delete(reference).id)

    def purge(self, reference: str) -> None:
        """Remove a run of the bin for good, with its folder. Raises WrongStatus if it is not in the bin."""
        run = self.run(reference)
        if run.deleted is None:
            raise WrongStatus(f"The run '{run.name}' is not in the bin.", "Only a deleted run can be purged.",
                              f"Delete it first: python -m workbench delete {run.name}")
        if run.directory.parent != self.runs_dir or not re.fullmatch(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{4}", run.id):
            raise StoreError(f"The folder {run.directory} is not a run's folder.", f"A folder directly in {self.runs_dir} was expected.",
                             "The store was changed by hand; nothing was removed.")
        bin_dir = self.home / "bin"
        try:
            bin_dir.mkdir(exist_ok=True)
            with self._database.write() as connection:
                connection.execute("DELETE FROM runs WHERE id = ? AND deleted IS NOT NULL", (run.id,))
                if os.path.lexists(run.directory):
                    os.replace(run.directory, bin_dir / run.id)  # one step: no half-removed folder is ever a run's
            for leftover in bin_dir.iterdir():  # also what an earlier, interrupted purge left behind
                if leftover.is_symlink():
                    leftover.unlink()
                else:
                    shutil.rmtree(leftover)
        except OSError as error:
            raise StoreUnavailable(f"The folder of '{run.name}' cannot be removed: {(error.strerror or str(error)).lower()}.", "",
                                   f"Close what uses {error.filename or run.directory} and purge again.") from error

    # ------------------------------------------------------------------------------------------------ numbers and events

    def log_metrics(self, run_id: str, rows: Iterable[MetricRow]) -> None:
        """Write (arm, step, name, value) rows; a value logged again replaces the earlier one. NaN is kept as NaN."""
        with self._database.write() as connection:
            _insert(connection, run_id, rows, ())

    def log_events(self, run_id: str, rows: Iterable[EventRow]) -> None:
        """Write (kind, payload, time) rows, payloads JSON-serialisable; what replaces what: see `record`."""
        with self._database.write() as connection:
            _insert(connection, run_id, (), rows)

    def metrics(self, run_id: str, arm: str | None = None, names: Sequence[str] | None = None, *, after_step: int | None = None,
                after_rowid: int = 0) -> pandas.DataFrame:
        """Logged numbers as columns ``rowid, arm, step, name, value``, in the order of writing.

        Pass the largest ``rowid`` seen so far to read only what came since. A replaced value comes again under a new rowid:
        append, then ``drop_duplicates(["arm", "name", "step"], keep="last")``.
        """
        import pandas

        # The unary plus keeps an incremental read on the rowid; the index on run_id would walk through the whole run.
        conditions, values = [f"{'+' if after_rowid else ''}run_id = ?", "id > ?"], [run_id, after_rowid]
        if arm is not None:
            conditions.append("arm = ?")
            values.append(arm)
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

    def metric_series_tail(self, run_id: str, name: str, *, arm: str = "student", limit: int = 100) -> list[tuple[int, float]]:
        """The last points of one curve as (step, value), oldest first."""
        with self._database.read() as connection:
            rows = connection.execute("SELECT step, value FROM metrics WHERE run_id = ? AND arm = ? AND name = ? ORDER BY step DESC LIMIT ?",
                                      (run_id, arm, name, limit)).fetchall()
        return [(row["step"], math.nan if row["value"] is None else row["value"]) for row in reversed(rows)]

    def latest_metrics(self, run_id: str) -> dict[str, dict[str, float]]:
        """Arm -> name -> the value at its last step."""
        latest: dict[str, dict[str, float]] = {}
        with self._database.read() as connection:
            # SQLite takes the other columns of a group from the row that has the maximum.
            for row in connection.execute("SELECT arm, name, max(step), value FROM metrics WHERE run_id = ? GROUP BY arm, name", (run_id,)):
                latest.setdefault(row["arm"], {})[row["name"]] = math.nan if row["value"] is None else row["value"]
        return latest

    def events(self, run_id: str, *, after: int = 0, kind: str | None = None) -> list[Event]:
        """Events in the order of writing, later than the `seq` given."""
        with self._database.read() as connection:
            rows = connection.execute("SELECT seq, kind, payload, time FROM events WHERE run_id = ? AND seq > ? AND (? IS NULL OR kind = ?) "
                                      "ORDER BY seq", (run_id, after, kind, kind)).fetchall()
        return [Event(row["seq"], row["kind"], json.loads(row["payload"]), row["time"]) for row in rows]

    def report(self, run_id: str) -> dict[str, Any] | None:
        """The engine's report of a finished run; None before."""
        reports = self.events(run_id, kind="report")
        return reports[-1].payload if reports else None

    # ------------------------------------------------------------------------------------------------

    def _update(self, run_id: str, condition: str, **columns: Any) -> bool:
        assignments = ", ".join(f"{column} = ?" for column in columns)
        with self._database.write() as connection:
            return connection.execute(f"UPDATE runs SET {assignments} WHERE id = ? AND {condition}", (*columns.values(), run_id)).rowcount == 1


def _claim(connection: sqlite3.Connection, run_id: str, device: str) -> bool:
    return connection.execute(
        "UPDATE runs SET status = 'starting', device = ?, started = ?, finished = NULL WHERE id = ? AND status = 'queued' AND deleted IS NULL",
        (device, time.time(), run_id)).rowcount == 1


def _insert(connection: sqlite3.Connection, run_id: str, metrics: Iterable[MetricRow], events: Iterable[EventRow]) -> None:
    connection.executemany("INSERT INTO metrics (run_id, arm, step, name, value) VALUES (?, ?, ?, ?, ?)",
                           [(run_id, *row) for row in metrics])
    for kind, payload, when in events:
        identity = json.dumps([payload.get(key) for key in ("arm", "step", "who", "prompt")]) if "step" in payload else None
        connection.execute("DELETE FROM events WHERE run_id = ? AND kind = ? AND (identity = ? OR time = ?)", (run_id, kind, identity, when))
        connection.execute("INSERT INTO events (run_id, kind, identity, payload, time) VALUES (?, ?, ?, ?, ?)",
                           (run_id, kind, identity, json.dumps(payload), when))


def _taken(connection: sqlite3.Connection, name: str, except_id: str = "") -> bool:
    return connection.execute("SELECT 1 FROM runs WHERE (name = ? OR id = ?) AND id != ?", (name, name, except_id)).fetchone() is not None


def _free_name(connection: sqlite3.Connection, wanted: str) -> str:
    stem, number = re.fullmatch(r"(.+?)(?:-(\d{1,4}))?", wanted).groups()
    name, count = wanted, int(number or 1)
    while _taken(connection, name):
        count += 1
        name = f"{stem[:74]}-{count}"
    return name


def _default_name(config: ExperimentConfig) -> str:
    if config.teacher is None:
        return "fresh"
    model = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(config.teacher.model).name).strip("-._") or "model"
    return f"{model[:60]}-{config.student.layers}-layers" if config.student.layers else f"{model[:60]}-student"
