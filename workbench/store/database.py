"""The SQLite file under the run store: connections, transactions, migrations, readable failures.

Several processes share the file: the app (or two of them), one worker a device, the command line. Hence WAL, so that
readers never wait; ``BEGIN IMMEDIATE``, so that two writers queue up instead of failing at an upgrade; short-lived
connections, so that no forgotten read keeps the WAL from being checkpointed. It must lie on a local disk.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.system.files import file_system
from workbench.errors import StoreUnavailableError

# Append only: a released migration is never edited, because stores made with it exist. Entry n leads to version n + 1.
MIGRATIONS = (
    """
    CREATE TABLE runs (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL COLLATE NOCASE UNIQUE,
        status TEXT NOT NULL,
        config TEXT NOT NULL,
        config_hash TEXT NOT NULL,
        seed INTEGER NOT NULL,
        command TEXT NOT NULL,
        parents TEXT NOT NULL,
        versions TEXT NOT NULL,
        git_commit TEXT,
        created REAL NOT NULL,
        queued REAL NOT NULL,
        started REAL,
        finished REAL,
        deleted REAL,
        device TEXT,
        pid INTEGER,
        pid_started REAL,
        boot_id TEXT,
        heartbeat REAL,
        stop_requested REAL,
        phase TEXT,
        arm TEXT,
        step INTEGER NOT NULL DEFAULT 0,
        total_steps INTEGER,
        message TEXT,
        hint TEXT
    );
    CREATE INDEX runs_by_status ON runs (status, queued);

    CREATE TABLE metrics (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        arm TEXT NOT NULL,
        name TEXT NOT NULL,
        step INTEGER NOT NULL,
        value REAL,
        UNIQUE (run_id, arm, name, step) ON CONFLICT REPLACE
    );

    CREATE TABLE events (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        kind TEXT NOT NULL,
        identity TEXT,
        payload TEXT NOT NULL,
        time REAL NOT NULL
    );
    CREATE INDEX events_by_run ON events (run_id, seq);
    """,
    # The last value of each curve, for lists that are drawn every few seconds. SQLite takes `value` from the row with the maximum.
    """
    CREATE TABLE latest (
        run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        arm TEXT NOT NULL,
        name TEXT NOT NULL,
        step INTEGER NOT NULL,
        value REAL,
        PRIMARY KEY (run_id, arm, name)
    ) WITHOUT ROWID;
    INSERT INTO latest (run_id, arm, name, step, value)
        SELECT run_id, arm, name, max(step), value FROM metrics GROUP BY run_id, arm, name;
    """,
    # The error that ended a failed run, with its field and its suggestion, as `StillhouseError.to_dict` writes it.
    """
    ALTER TABLE runs ADD COLUMN error TEXT;
    """,
    # How far an active run is, as `core.events.Headway` says it.
    """
    ALTER TABLE runs ADD COLUMN share REAL;
    ALTER TABLE runs ADD COLUMN seconds_left REAL;
    ALTER TABLE runs ADD COLUMN done INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE runs ADD COLUMN items INTEGER NOT NULL DEFAULT 0;
    """,
    # Sweeps and their runs; `cell` counts the settings from 1, and a run that was there before is not the sweep's own.
    # `after`: the run that a queued one waits for, because both would query the same teacher for the same answers.
    """
    CREATE TABLE sweeps (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL COLLATE NOCASE UNIQUE,
        spec TEXT NOT NULL,
        left_out TEXT NOT NULL,
        command TEXT NOT NULL,
        created REAL NOT NULL,
        deleted REAL
    );
    CREATE TABLE sweep_runs (
        sweep_id TEXT NOT NULL REFERENCES sweeps (id) ON DELETE CASCADE,
        run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        cell INTEGER NOT NULL,
        chosen TEXT NOT NULL,
        own INTEGER NOT NULL,
        PRIMARY KEY (sweep_id, run_id)
    ) WITHOUT ROWID;
    CREATE INDEX sweep_runs_by_run ON sweep_runs (run_id);
    ALTER TABLE runs ADD COLUMN after TEXT;
    """,
    # Where a run is carried out, if not on this machine, as `workbench.launch.launcher` writes it.
    """
    ALTER TABLE runs ADD COLUMN launch TEXT;
    """,
)

BUSY_SECONDS = 15.0
SHARED = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "fuse.sshfs")  # file systems of other machines, as the kernel calls them


class Database:
    """One SQLite file, opened for each use.

    Args:
        path: the file; it and its folder are made when missing.
        migrations: statements that lead from one version of the file to the next (default: those of the run store).

    Raises:
        StoreUnavailableError: it cannot be made or written, is not a store, or was made by a newer release.
    """

    def __init__(self, path: Path, migrations: tuple[str, ...] | None = None) -> None:
        self.path, self._migrations = path, MIGRATIONS if migrations is None else migrations
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unavailable(path, (error.strerror or str(error)).lower()) from error
        kind = file_system(path.parent.resolve())
        if kind in SHARED:
            raise StoreUnavailableError(
                f"The store {path} would lie on a file system of another machine ({kind}).",
                "SQLite needs a local disk: over a network its locks fail, and two writers damage the file.",
                "Set STILLHOUSE_HOME to a folder on a local disk; run folders of a cluster's jobs go where the launcher's folder says.")
        self._migrate()

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection for queries."""
        connection = None
        try:
            connection = self._connect()
            yield connection
        except sqlite3.Error as error:
            raise self._readable(error) from error
        finally:
            if connection is not None:
                connection.close()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection inside one transaction that excludes other writers; committed at the end, rolled back on any exception."""
        with self.read() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")  # a committed transaction outlives a power cut
            connection.execute("PRAGMA foreign_keys = ON")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _migrate(self) -> None:
        with self.read() as connection:
            if _version(connection) == len(self._migrations):
                return
        with self.write() as connection:
            version = _version(connection)  # again: another process may have migrated in between
            if version > len(self._migrations):
                raise StoreUnavailableError(f"The store {self.path} has version {version}; this release knows up to "
                                            f"{len(self._migrations)}.",
                                       "It was made by a newer release.", "Update this release, or set STILLHOUSE_HOME to another folder.")
            for migration in self._migrations[version:]:
                for statement in filter(str.strip, migration.split(";")):  # executescript() would commit behind our back
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {len(self._migrations)}")

    def _readable(self, error: sqlite3.Error) -> sqlite3.Error | StoreUnavailableError:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF  # the low byte is the primary code
        if code == sqlite3.SQLITE_FULL:
            return StoreUnavailableError(f"The disk is full: {self.path} cannot be written.", "", "Free some space and try again.")
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return StoreUnavailableError(f"The file {self.path} is damaged or is not a run store.", "A SQLite file was expected.",
                                         "Move it away to start with an empty store; the folders of the runs stay where they are.")
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return StoreUnavailableError(f"The store {self.path} stayed locked for {BUSY_SECONDS:.0f} seconds.", "",
                                         "Another process is writing a lot or hangs; try again.")
        reasons = {sqlite3.SQLITE_READONLY: "read-only file system or file", sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
                   sqlite3.SQLITE_IOERR: "the disk reports an error", sqlite3.SQLITE_PERM: "permission denied"}
        return _unavailable(self.path, reasons[code]) if code in reasons else error


def _version(connection: sqlite3.Connection) -> int:
    return connection.execute("PRAGMA user_version").fetchone()[0]


def _unavailable(path: Path, reason: str) -> StoreUnavailableError:
    return StoreUnavailableError(f"The store {path} cannot be used: {reason}.", f"A writable folder was expected: {path.parent}.",
                                 "Set STILLHOUSE_HOME to a folder of yours on a local disk.")
