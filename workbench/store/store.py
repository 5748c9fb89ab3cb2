"""The run store: configurations, statuses and every number that was logged. Safe to share between processes.

Each change of status is one guarded UPDATE, so of two processes that try, one succeeds. Times are seconds since 1970.
The clock can be set back: the order of runs is that of their rows, and the queue's never goes back.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import shlex
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from core.config import BridgeConfig, ChainConfig, EnsembleConfig, ExperimentConfig, ReadingConfig
from core.errors import RunVerb, StillhouseError
from core.recipes import parse_recipe
from core.system.provenance import git_commit, versions
from workbench import paths
from workbench.errors import RunNameTakenError, RunNotFoundError, StoreError, StoreUnavailableError, WrongStatusError
from workbench.processes import Process
from workbench.store.database import Database
from workbench.store.names import free_name, new_ids, taken
from workbench.store.records import ACTIVE, RESUMABLE, EventRow, MetricRow, NewRun, Progress, Run, Status, run_from_row
from workbench.store.run_folders import make_folder, remove_folder, shared_folder, write_durably
from workbench.store.run_log import insert
from workbench.store.sweeps import SweepTable

RUN_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{4,8}")
IS_ACTIVE, IS_RESUMABLE = f"status IN {ACTIVE}", f"status IN {RESUMABLE} AND deleted IS NULL"
# When a run is queued, given the time: behind all that wait, also where the clock was set back since. A microsecond is kept at this size.
LAST_IN_QUEUE = "max(?, (SELECT coalesce(max(queued) + 1e-6, 0) FROM runs WHERE status = 'queued'))"


class Store(SweepTable):
    """All runs of one home folder.

    Args:
        path: the SQLite file; runs' folders lie in ``runs/`` beside it. Default: the store of `paths.home()`.

    Raises:
        StoreUnavailableError: from any method, when the file cannot be read or written.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or paths.store_path()
        self.home = self.path.parent
        super().__init__(Database(self.path), self.home / "runs")

    # ------------------------------------------------------------------------------------------------ finding

    def run(self, reference: str) -> Run:
        """Return the run of that id, name, or unambiguous beginning of an id (4 characters or more). Raises RunNotFoundError."""
        with self._database.read() as connection:
            rows = connection.execute("SELECT * FROM runs WHERE id = ? OR name = ?", (reference, reference)).fetchall()
            if not rows and len(reference) >= 4:
                rows = connection.execute("SELECT * FROM runs WHERE substr(id, 1, ?) = ? LIMIT 2", (len(reference), reference)).fetchall()
            names = [row["name"] for row in connection.execute("SELECT name FROM runs WHERE deleted IS NULL")] if not rows else []
        if len(rows) == 1:
            return run_from_row(rows[0], self.runs_dir)
        if rows:
            raise RunNotFoundError(f"More than one run's id begins with '{reference}'.", "A whole id or a name was expected.",
                                   "See the list of runs.", suggestion=RunVerb("runs"))
        near = difflib.get_close_matches(reference, names, n=1, cutoff=0.5)
        raise RunNotFoundError(f"There is no run '{reference}'.", "A run's id or name was expected.",
                               f"Did you mean '{near[0]}'?" if near else "See the list of runs.",
                               suggestion=None if near else RunVerb("runs"))

    def runs(self, *, include_deleted: bool = False, status: Status | Iterable[Status] | None = None,
             limit: int | None = None) -> list[Run]:
        """Return runs, newest first."""
        conditions, values = ["1"], []
        if not include_deleted:
            conditions.append("deleted IS NULL")
        if status is not None:
            wanted = [status] if isinstance(status, str) else list(status)
            conditions.append(f"status IN ({', '.join('?' * len(wanted))})")
            values += wanted
        query = f"SELECT * FROM runs WHERE {' AND '.join(conditions)} ORDER BY rowid DESC LIMIT ?"  # as made: a clock can be set back
        with self._database.read() as connection:
            return [run_from_row(row, self.runs_dir) for row in connection.execute(query, (*values, -1 if limit is None else limit))]

    def queue(self) -> list[Run]:
        """Return runs that wait for a device, in the order in which they will be taken."""
        with self._database.read() as connection:
            rows = connection.execute("SELECT * FROM runs WHERE status = 'queued' AND deleted IS NULL ORDER BY queued, id").fetchall()
        return [run_from_row(row, self.runs_dir) for row in rows]

    # ------------------------------------------------------------------------------------------------ a run's life

    def create_run(self, config: ExperimentConfig, command: str | None = None, parents: Mapping[str, str] | None = None, *,
                   device: str | None = None, launch: Mapping[str, Any] | None = None) -> Run:
        """Queue a new run, with a folder that holds its recipe.

        Args:
            config: its name, or one derived from its models, is made unique by a number.
            command: the line that repeats it (default: one that names the recipe in its folder).
            parents: model reference in the config -> the same reference by run id.
            device: claim it at once, for a worker in this process on that device; the queue never sees it.
            launch: where it is carried out, if not on this machine; its ``folder`` is where the run's folder lies, and is linked to.
        """
        return self.create_runs([NewRun(config, command, parents or {}, device, launch=launch)])[0]

    def create_runs(self, new: Sequence[NewRun], also: Callable[[sqlite3.Connection, list[str]], None] | None = None) -> list[Run]:
        """Queue new runs, all of them or none.

        Args:
            also: called with the ids in the same transaction; what it raises undoes all.
        """
        ids = new_ids(len(new), self.runs_dir)
        code = json.dumps(versions()), git_commit()
        try:
            for run_id, each in zip(ids, new, strict=True):
                make_folder(self.runs_dir / run_id, each.launch)
            with self._database.write() as connection:
                for run_id, each in zip(ids, new, strict=True):
                    self._insert(connection, run_id, each, code, None if each.after is None else ids[each.after])
                if also is not None:
                    also(connection, ids)
        except BaseException as error:
            for run_id in ids:
                remove_folder(self.runs_dir / run_id)
            if not isinstance(error, OSError):
                raise
            raise StoreUnavailableError(f"The run's folder {self.runs_dir / ids[0]} cannot be made: "
                                        f"{(error.strerror or str(error)).lower()}.",
                                        "A folder that can be written, with free space, was expected.",
                                        "Free some space, or set STILLHOUSE_HOME to another folder.") from error
        return [self.run(run_id) for run_id in ids]

    def _insert(self, connection: sqlite3.Connection, run_id: str, new: NewRun, code: tuple[str, str | None], after: str | None) -> None:
        recipe = self.runs_dir / run_id / "recipe.yaml"
        verb = "chain" if isinstance(new.config, ChainConfig) else "distill"
        config = new.config.model_copy(update={"name": free_name(connection, new.config.name or default_name(new.config))})
        write_durably(recipe, config.to_yaml())
        now = time.time()
        connection.execute(
            "INSERT INTO runs (id, name, status, config, config_hash, seed, command, parents, versions, git_commit, launch,"
            f" created, queued, after) VALUES (?, ?, 'queued', ?, ?, ?, ?, ?, ?, ?, ?, ?, {LAST_IN_QUEUE}, ?)",
            (run_id, config.name, json.dumps(config.to_dict()), config.digest(), config.train.seed,
             new.command or f"python -m workbench {verb} {shlex.quote(str(recipe))}", json.dumps(dict(new.parents)), *code,
             json.dumps(dict(new.launch)) if new.launch else None, now, now, after))
        if new.device is not None:
            _claim(connection, run_id, new.device)

    def claim(self, run_id: str, device: str) -> bool:
        """Take a queued run for this device: ``queued`` -> ``starting``. False if somebody else was faster."""
        with self._database.write() as connection:
            return _claim(connection, run_id, device)

    def claim_next(self, choose_slot: Callable[[str, set[str], int | str], str | None],
                   suitable: Callable[[str], Iterable[str]]) -> Run | None:
        """Take the queued run that waits longest among those whose devices are free and that wait for no other run.

        What a run that has to wait could use is kept from those behind it.

        Args:
            choose_slot: (device and processes requested in the config, devices in use) -> the slot to occupy, or None while too few
                are free.
            suitable: device requested in the config -> the devices that would do.
        """
        with self._database.write() as connection:
            active = connection.execute(f"SELECT device FROM runs WHERE {IS_ACTIVE}")
            busy = {device for row in active for device in row["device"].split(",")}
            queued = connection.execute("SELECT id, config, parents, after, launch FROM runs WHERE status = 'queued' AND deleted IS NULL"
                                        " ORDER BY queued, id").fetchall()
            coming = {row["id"] for row in connection.execute(f"SELECT id FROM runs WHERE {IS_ACTIVE}")} | {row["id"] for row in queued}
            for row in queued:
                if coming & {row["after"], *(parent.partition(":")[0] for parent in json.loads(row["parents"]).values())}:
                    continue
                if row["launch"] is not None:  # it takes no device of this machine
                    if _claim(connection, row["id"], json.loads(row["launch"])["launcher"]):
                        break
                    continue
                train = json.loads(row["config"])["train"]
                slot = choose_slot(train["device"], busy, train.get("processes", 1))
                if slot is not None and _claim(connection, row["id"], slot):
                    break
                busy.update(suitable(train["device"]))
            else:
                return None
        return self.run(row["id"])

    def mark_running(self, run_id: str, process: Process) -> bool:
        """Set ``starting`` to ``running``, by the run's worker. False if another worker was first, or the run was withdrawn."""
        return self._execute(
            "UPDATE runs SET status = CASE WHEN stop_requested IS NULL THEN 'running' ELSE 'stopping' END, pid = ?, pid_started = ?,"
            f" boot_id = ?, heartbeat = ?, versions = ?, git_commit = ? WHERE id = ? AND {IS_ACTIVE} AND heartbeat IS NULL",
            process.pid, process.started, process.boot_id, time.time(), json.dumps(versions()), git_commit(), run_id)

    def note_launch(self, run_id: str, process: Process) -> None:
        """Record the process of a worker that may die before it reports: `lost` is then seen at once."""
        self._update(run_id, f"{IS_ACTIVE} AND pid IS NULL", pid=process.pid, pid_started=process.started, boot_id=process.boot_id)

    def record(self, run_id: str, process: Process, metrics: Iterable[MetricRow], events: Iterable[EventRow], progress: Progress) -> bool:
        """Write what a worker has gathered, in one transaction; returns whether it should stop.

        What replaces what: see `run_log.insert`. A worker that no longer owns the run receives a stop request, and what it logged is
        still kept.
        """
        with self._database.write() as connection:
            insert(connection, run_id, metrics, events)
            owned = connection.execute(
                "UPDATE runs SET heartbeat = ?, phase = ?, arm = ?, step = ?, total_steps = ?, share = ?, seconds_left = ?,"
                " done = ?, items = ?"
                f" WHERE id = ? AND pid = ? AND {IS_ACTIVE} RETURNING stop_requested",
                (time.time(), progress.phase, progress.variant, progress.step, progress.total, progress.share, progress.seconds_left,
                 progress.done, progress.items, run_id, process.pid)).fetchone()
        return owned is None or owned["stop_requested"] is not None

    def finish(self, run_id: str, status: Status, message: str = "", hint: str = "", *, attempt: float | None = None,
               error: StillhouseError | None = None) -> bool:
        """End an active run as `status`. False if it had ended already.

        Args:
            attempt: `Run.started` of the attempt that is meant; a run that was resumed in the meantime is left alone.
            error: what ended a failed run.
        """
        condition = IS_ACTIVE if attempt is None else f"{IS_ACTIVE} AND started = {attempt!r}"
        return self._update(run_id, condition, status=status, message=message, hint=hint, finished=time.time(), phase=None, pid=None,
                            pid_started=None, boot_id=None, error=json.dumps(error.to_dict()) if error else None)

    def request_stop(self, reference: str) -> Run:
        """Stop a run: a queued one is cancelled, a running one saves a checkpoint first. Raises WrongStatusError if it has ended."""
        run = self.run(reference)
        now = time.time()
        if self._update(run.id, "status = 'queued'", status="stopped", message="Cancelled before it started.", hint="", finished=now):
            return self.run(run.id)
        if self._update(run.id, IS_ACTIVE, status="stopping", stop_requested=now):
            return self.run(run.id)
        raise WrongStatusError(f"The run '{run.name}' is {self.run(run.id).status}.", "Only a queued or running run can be stopped.")

    def requeue(self, reference: str) -> Run:
        """Queue a stopped, failed or lost run again under its own id; it resumes from its last checkpoint. Raises WrongStatusError."""
        run = self.run(reference)
        if self._execute(f"UPDATE runs SET status = 'queued', queued = {LAST_IN_QUEUE}, finished = NULL, message = NULL, hint = NULL,"
                         f" error = NULL, stop_requested = NULL, heartbeat = NULL, share = NULL, seconds_left = NULL,"
                         f" done = 0, items = 0 WHERE id = ? AND {IS_RESUMABLE}", time.time(), run.id):
            return self.run(run.id)
        run = self.run(run.id)
        expected = f"Only a run that is {', '.join(RESUMABLE[:-1])} or {RESUMABLE[-1]} can be resumed."
        if run.deleted is not None:
            raise WrongStatusError(f"The run '{run.name}' is in the bin.", expected,
                                   "Restore it first.", suggestion=RunVerb("restore", run.name))
        raise WrongStatusError(f"The run '{run.name}' is {run.status}.", expected, "To train it again, start a new run from its recipe.")

    # ------------------------------------------------------------------------------------------------ keeping house

    def rename(self, reference: str, name: str) -> Run:
        """Give a run another name. Raises ConfigError for an impossible name, RunNameTakenError."""
        run = self.run(reference)
        parse_recipe({"name": name})  # raises ConfigError for an invalid name
        config = json.loads(run.config_json) | {"name": name}
        with self._database.write() as connection:
            if taken(connection, name, except_id=run.id):
                raise RunNameTakenError(f"Another run is called '{name}'.", "Names are unique, the bin included.", "Choose another name.")
            connection.execute("UPDATE runs SET name = ?, config = ? WHERE id = ?", (name, json.dumps(config), run.id))
        return self.run(run.id)

    def delete(self, reference: str) -> Run:
        """Put a run into the bin; `restore` undoes it, `purge` empties it. Raises WrongStatusError while it is active."""
        run = self.run(reference)
        if self._execute("UPDATE runs SET deleted = ?, status = CASE status WHEN 'queued' THEN 'stopped' ELSE status END"
                         f" WHERE id = ? AND NOT {IS_ACTIVE} AND deleted IS NULL", time.time(), run.id):
            return self.run(run.id)
        run = self.run(run.id)
        if run.deleted is not None:
            return run
        raise WrongStatusError(f"The run '{run.name}' is {run.status}.", "A run that has ended was expected.",
                               "Stop it first.", suggestion=RunVerb("stop", run.name))

    def restore(self, reference: str) -> Run:
        """Take a run out of the bin."""
        run = self.run(reference)
        self._update(run.id, "1", deleted=None)
        return self.run(run.id)

    def discard(self, reference: str) -> None:
        """Remove a run that never came to training, as if it had never been submitted. Raises WrongStatusError while it is active."""
        self.purge(self.delete(reference).id)

    def purge(self, reference: str) -> None:
        """Delete a run of the bin permanently, with its folder. Raises WrongStatusError if it is not in the bin."""
        run = self.run(reference)
        if run.deleted is None:
            raise WrongStatusError(f"The run '{run.name}' is not in the bin.", "Only a deleted run can be purged.",
                                   "Delete it first.", suggestion=RunVerb("delete", run.name))
        if run.directory.parent != self.runs_dir or not RUN_ID.fullmatch(run.id):
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
                with suppress(FileNotFoundError):  # another process may be at it too
                    leftover.unlink() if leftover.is_symlink() else shutil.rmtree(leftover)
            if (shared := shared_folder(run.directory, run.launch)) is not None and shared.is_dir():
                shutil.rmtree(shared)
        except OSError as error:
            raise StoreUnavailableError(f"The folder of '{run.name}' cannot be removed: {(error.strerror or str(error)).lower()}.", "",
                                        f"Close what uses {error.filename or run.directory} and purge again.") from error

    # ------------------------------------------------------------------------------------------------

    def _update(self, run_id: str, condition: str, **columns: Any) -> bool:
        assignments = ", ".join(f"{column} = ?" for column in columns)
        return self._execute(f"UPDATE runs SET {assignments} WHERE id = ? AND {condition}", *columns.values(), run_id)

    def _execute(self, statement: str, *values: Any) -> bool:
        """One UPDATE in a transaction of its own; whether it found its run."""
        with self._database.write() as connection:
            return connection.execute(statement, values).rowcount == 1


def _claim(connection: sqlite3.Connection, run_id: str, device: str) -> bool:
    return connection.execute(
        "UPDATE runs SET status = 'starting', device = ?, started = ? WHERE id = ? AND status = 'queued' AND deleted IS NULL",
        (device, time.time(), run_id)).rowcount == 1


def default_name(config: ExperimentConfig) -> str:
    """Return the name of a run whose recipe gives none, made from its teacher and its student's depth."""
    if isinstance(config, ReadingConfig):
        return "reading"
    if isinstance(config, EnsembleConfig):
        return "ensemble"
    teacher = config.bridge if isinstance(config, BridgeConfig) else config.teacher
    if teacher is None:
        return "fresh"
    model = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(teacher.model).name).strip("-._") or "model"
    if isinstance(config, BridgeConfig):
        return f"{model[:60]}-bridge"
    if isinstance(config, ChainConfig):
        return f"{model[:60]}-chain"
    return f"{model[:60]}-{config.student.layers}-layers" if config.student.layers else f"{model[:60]}-student"
