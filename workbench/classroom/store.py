"""A class on the disk: one SQLite file, which is removed with the class.

    <home>/classes/<id>.sqlite

Nothing in it says who a participant is but the nickname that they gave. Times are seconds since 1970.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from workbench import paths
from workbench.classroom.records import LONGEST_NICKNAME, LONGEST_TEXT, Ballot, Guess, HandedIn, Item, Participant, Settings, join_code
from workbench.errors import ClassError
from workbench.store.database import Database

MIGRATIONS = (
    """
    CREATE TABLE class (id TEXT PRIMARY KEY, name TEXT NOT NULL, code TEXT NOT NULL, secret BLOB NOT NULL, created REAL NOT NULL,
                        settings TEXT NOT NULL);
    CREATE TABLE participants (id TEXT PRIMARY KEY, nickname TEXT NOT NULL COLLATE NOCASE UNIQUE, number INTEGER NOT NULL,
                               joined REAL NOT NULL, removed INTEGER NOT NULL DEFAULT 0);
    CREATE TABLE guesses (participant TEXT NOT NULL, lesson TEXT NOT NULL, question TEXT NOT NULL, value TEXT NOT NULL,
                          PRIMARY KEY (participant, lesson, question));
    CREATE TABLE items (id INTEGER PRIMARY KEY AUTOINCREMENT, participant TEXT NOT NULL, lesson TEXT NOT NULL, recipe TEXT NOT NULL,
                        label TEXT NOT NULL, config TEXT NOT NULL, digest TEXT NOT NULL, submitted REAL NOT NULL, state TEXT NOT NULL,
                        run_id TEXT, message TEXT NOT NULL DEFAULT '', first INTEGER NOT NULL DEFAULT 0,
                        shared INTEGER NOT NULL DEFAULT 0, fresh INTEGER NOT NULL DEFAULT 0);
    CREATE TABLE ballots (id INTEGER PRIMARY KEY AUTOINCREMENT, prompt TEXT NOT NULL, models TEXT NOT NULL, answers TEXT NOT NULL,
                          open INTEGER NOT NULL, revealed INTEGER NOT NULL);
    CREATE TABLE votes (ballot INTEGER NOT NULL, participant TEXT NOT NULL, choice INTEGER NOT NULL, PRIMARY KEY (ballot, participant));
    CREATE TABLE handed_in (participant TEXT NOT NULL, time REAL NOT NULL, text TEXT NOT NULL);
    """,
)
ID = re.compile(r"[0-9a-f]{12}")
MOST_PARTICIPANTS = 300


class ClassStore:
    """One class.

    Args:
        class_id: of a class that exists.

    Raises:
        ClassError: it does not exist (any more).
        StoreUnavailableError: from any method, when its file cannot be read or written.
    """

    def __init__(self, class_id: str) -> None:
        self.id = class_id
        if not exists(class_id):
            raise ClassError("This class is over: it was deleted with everything in it.")
        self._database = Database(_path(class_id), MIGRATIONS)
        row = self._one("SELECT * FROM class")
        self.name, self.code, self.secret, self.created = row["name"], row["code"], bytes(row["secret"]), row["created"]

    # ------------------------------------------------------------------------------------------------ settings

    def settings(self) -> Settings:
        """Return what the instructor has set."""
        return Settings.from_dict(json.loads(self._one("SELECT settings FROM class")["settings"]))

    def change(self, **changes: Any) -> Settings:
        """Change settings, and return them all."""
        with self._database.write() as connection:
            plain = json.loads(connection.execute("SELECT settings FROM class").fetchone()["settings"])
            changed = replace(Settings.from_dict(plain), **changes)
            connection.execute("UPDATE class SET settings = ?", (json.dumps(asdict(changed)),))
        return changed

    # ------------------------------------------------------------------------------------------------ who takes part

    def join(self, nickname: str, code: str) -> Participant:
        """Add a participant. Raises ClassError for a wrong code, or a nickname that cannot be used."""
        if not secrets.compare_digest(code.strip().upper().encode(), self.code.encode()):
            raise ClassError("That is not the code of this class.", "Six letters and digits, as the projector shows them, were expected.")
        name = " ".join(nickname.split())
        if not 1 <= len(name) <= LONGEST_NICKNAME or not name.isprintable():
            raise ClassError("This nickname cannot be used.", f"From 1 to {LONGEST_NICKNAME} characters were expected.")
        participant_id = secrets.token_hex(12)
        try:
            with self._database.write() as connection:
                count = connection.execute("SELECT count(*) AS n FROM participants").fetchone()["n"]
                if count >= MOST_PARTICIPANTS:
                    raise ClassError(f"The class has {count} participants.", f"At most {MOST_PARTICIPANTS} can join.")
                connection.execute("INSERT INTO participants (id, nickname, number, joined) VALUES (?, ?, ?, ?)",
                                   (participant_id, name, count + 1, time.time()))
        except sqlite3.IntegrityError as error:
            raise ClassError(f"Somebody is called '{name}' already.", "", "Take another nickname.") from error
        return self.participant(participant_id)

    def participant(self, participant_id: str) -> Participant:
        """Return a participant. Raises ClassError for one who is not (or no longer) in the class."""
        rows = self._all("SELECT * FROM participants WHERE id = ? AND removed = 0", participant_id)
        if not rows:
            raise ClassError("You are no longer in this class.", "", "Join it again with its code.")
        return _participant(rows[0])

    def participants(self) -> list[Participant]:
        """Return all who joined and were not taken out, in that order."""
        return [_participant(row) for row in self._all("SELECT * FROM participants WHERE removed = 0 ORDER BY number")]

    def remove(self, participant_id: str) -> None:
        """Take a participant out, with all that they guessed, voted and handed in; runs that others share stay."""
        with self._database.write() as connection:
            connection.execute("UPDATE participants SET removed = 1, nickname = 'removed ' || number WHERE id = ?", (participant_id,))
            for table in ("guesses", "votes", "handed_in"):
                connection.execute(f"DELETE FROM {table} WHERE participant = ?", (participant_id,))
            connection.execute("UPDATE items SET state = 'withdrawn' WHERE participant = ? AND state = 'waiting'", (participant_id,))

    # ------------------------------------------------------------------------------------------------ guesses

    def commit(self, participant_id: str, lesson: str, question: str, value: str | float) -> None:
        """Keep a guess. Raises ClassError if there is one already: a guess is not changed after the fact."""
        try:
            with self._database.write() as connection:
                connection.execute("INSERT INTO guesses VALUES (?, ?, ?, ?)", (participant_id, lesson, question, json.dumps(value)))
        except sqlite3.IntegrityError as error:
            raise ClassError("This guess is committed already.", "It cannot be changed.") from error

    def guess(self, participant_id: str, lesson: str, question: str) -> str | float | None:
        """Return a guess; None where there is none yet."""
        rows = self._all("SELECT value FROM guesses WHERE participant = ? AND lesson = ? AND question = ?",
                         participant_id, lesson, question)
        return json.loads(rows[0]["value"]) if rows else None

    def guesses(self, lesson: str | None = None) -> list[Guess]:
        """Return all guesses, of one lesson or of all."""
        rows = self._all("SELECT * FROM guesses WHERE ? IS NULL OR lesson = ? ORDER BY rowid", lesson, lesson)
        return [Guess(row["participant"], row["lesson"], row["question"], json.loads(row["value"])) for row in rows]

    # ------------------------------------------------------------------------------------------------ runs

    def submit(self, participant_id: str, lesson: str, recipe: str, runs: Iterable[tuple[str, str, str]], *, fresh: bool = False) -> None:
        """Add what a participant wants to run.

        Args:
            runs: label, configuration as JSON, digest.
            fresh: train it even where an equal recipe was computed.

        Raises:
            ClassError: something of theirs still waits.
        """
        with self._database.write() as connection:
            waiting = connection.execute("SELECT count(*) AS n FROM items WHERE participant = ? AND state = 'waiting'",
                                         (participant_id,)).fetchone()["n"]
            if waiting:
                raise ClassError("Your last run still waits for its turn.", "One waiting run a participant keeps the queue fair.",
                                 "Wait for it, or withdraw it.")
            for label, config, digest in runs:
                known = None if fresh else _run_of(connection, digest)
                connection.execute(
                    "INSERT INTO items (participant, lesson, recipe, label, config, digest, submitted, state, run_id, shared, fresh)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (participant_id, lesson, recipe, label, config, digest, time.time(), "placed" if known else "waiting", known,
                     known is not None, fresh))

    def items(self, participant_id: str | None = None, state: str | None = None) -> list[Item]:
        """Return runs that were submitted, oldest first."""
        rows = self._all("SELECT * FROM items WHERE (? IS NULL OR participant = ?) AND (? IS NULL OR state = ?) ORDER BY id",
                         participant_id, participant_id, state, state)
        return [_item(row) for row in rows]

    def place(self, item: Item, run_id: str) -> None:
        """Note which run serves a waiting item, and all that wait for the same recipe."""
        with self._database.write() as connection:
            connection.execute("UPDATE items SET state = 'placed', run_id = ? WHERE id = ? AND state = 'waiting'", (run_id, item.id))
            connection.execute("UPDATE items SET state = 'placed', run_id = ?, shared = 1 WHERE digest = ? AND state = 'waiting'"
                               " AND fresh = 0", (run_id, item.digest))

    def share_known(self, item: Item) -> bool:
        """Give a waiting item the run of an equal recipe, if there is one that has not failed."""
        with self._database.write() as connection:
            known = None if item.fresh else _run_of(connection, item.digest)
            if known is not None:
                connection.execute("UPDATE items SET state = 'placed', run_id = ?, shared = 1 WHERE id = ?", (known, item.id))
        return known is not None

    def fail(self, item: Item, message: str) -> None:
        """Note that a run cannot be started, and why."""
        self._execute("UPDATE items SET state = 'failed', message = ? WHERE id = ?", message, item.id)

    def forget_run(self, run_id: str) -> None:
        """Note that a run did not come to an end: an equal recipe is computed again."""
        self._execute("UPDATE items SET digest = digest || ' ended' WHERE run_id = ? AND digest NOT LIKE '% ended'", run_id)

    def withdraw(self, participant_id: str) -> None:
        """Take back what waits."""
        self._execute("UPDATE items SET state = 'withdrawn' WHERE participant = ? AND state = 'waiting'", participant_id)

    def put_first(self, item_id: int) -> None:
        """Let a waiting item be next."""
        self._execute("UPDATE items SET first = 1 WHERE id = ? AND state = 'waiting'", item_id)

    def run_ids(self) -> list[str]:
        """Return the runs of this class, without repetitions, oldest first."""
        return [row["run_id"] for row in self._all("SELECT run_id, min(id) FROM items WHERE run_id IS NOT NULL GROUP BY run_id ORDER BY 2")]

    # ------------------------------------------------------------------------------------------------ votes, texts

    def open_ballot(self, prompt: str, models: tuple[str, ...], answers: tuple[str, ...]) -> int:
        """Open a vote on answers, in the order in which they are given here; one that is open is closed."""
        with self._database.write() as connection:
            connection.execute("UPDATE ballots SET open = 0")
            cursor = connection.execute("INSERT INTO ballots (prompt, models, answers, open, revealed) VALUES (?, ?, ?, 1, 0)",
                                        (prompt, json.dumps(models), json.dumps(answers)))
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def ballots(self) -> list[Ballot]:
        """Return all votes, the newest first."""
        return [Ballot(row["id"], row["prompt"], tuple(json.loads(row["models"])), tuple(json.loads(row["answers"])), bool(row["open"]),
                       bool(row["revealed"])) for row in self._all("SELECT * FROM ballots ORDER BY id DESC")]

    def vote(self, ballot_id: int, participant_id: str, choice: int) -> None:
        """Count a vote; a second one replaces it. Raises ClassError where none is taken."""
        ballot = next((each for each in self.ballots() if each.id == ballot_id), None)
        if ballot is None or not ballot.open or not 0 <= choice < len(ballot.answers):
            raise ClassError("This vote is not open.", "", "Wait for the next one.")
        self._execute("INSERT OR REPLACE INTO votes VALUES (?, ?, ?)", ballot_id, participant_id, choice)

    def votes(self, ballot_id: int) -> dict[str, int]:
        """Return participant -> choice."""
        return {row["participant"]: row["choice"] for row in self._all("SELECT * FROM votes WHERE ballot = ?", ballot_id)}

    def reveal(self, ballot_id: int) -> None:
        """Close a vote and show who gave which answer."""
        self._execute("UPDATE ballots SET open = 0, revealed = 1 WHERE id = ?", ballot_id)

    def hand_in(self, participant_id: str, text: str) -> None:
        """Keep a text that the instructor, and on the board all, may read. Raises ClassError for an empty or too long one."""
        if not 1 <= len(text.strip()) <= LONGEST_TEXT:
            raise ClassError(f"The text has {len(text.strip()):,} characters.", f"From 1 to {LONGEST_TEXT:,} were expected.")
        self._execute("INSERT INTO handed_in VALUES (?, ?, ?)", participant_id, time.time(), text.strip())

    def handed_in(self) -> list[HandedIn]:
        """Return all texts, oldest first."""
        return [HandedIn(row["participant"], row["time"], row["text"]) for row in self._all("SELECT * FROM handed_in ORDER BY rowid")]

    # ------------------------------------------------------------------------------------------------

    def _all(self, query: str, *values: Any) -> list[sqlite3.Row]:
        self._require()
        with self._database.read() as connection:
            return connection.execute(query, values).fetchall()

    def _one(self, query: str, *values: Any) -> sqlite3.Row:
        return self._all(query, *values)[0]

    def _execute(self, statement: str, *values: Any) -> None:
        self._require()
        with self._database.write() as connection:
            connection.execute(statement, values)

    def _require(self) -> None:
        if not _path(self.id).exists():  # SQLite would make an empty one
            raise ClassError("This class is over: it was deleted with everything in it.")


def create(name: str) -> ClassStore:
    """Make a class, or return the one of that name. Raises ClassError for an empty name."""
    if not 1 <= len(name.strip()) <= 80 or not name.isprintable():
        raise ClassError("The class has no name that can be shown.", "From 1 to 80 characters were expected.")
    class_id = hashlib.sha256(f"class {name.strip()}".encode()).hexdigest()[:12]
    if not exists(class_id):
        with Database(_path(class_id), MIGRATIONS).write() as connection:
            connection.execute("INSERT OR IGNORE INTO class VALUES (?, ?, ?, ?, ?, ?)",
                               (class_id, name.strip(), join_code(), secrets.token_bytes(32), time.time(), json.dumps(asdict(Settings()))))
    return ClassStore(class_id)


def exists(class_id: str) -> bool:
    """Return whether there is a class of that id."""
    return ID.fullmatch(class_id) is not None and _path(class_id).is_file()


def state(class_id: str) -> tuple[tuple[int, int, int], ...]:
    """Return what changes whenever something is written to a class: a look at its files, without opening them."""
    found = []
    for suffix in ("", "-wal"):
        with contextlib.suppress(FileNotFoundError):  # the second is there only between the first opening and the last closing
            about = os.stat(f"{_path(class_id)}{suffix}")
            found.append((about.st_ino, about.st_size, about.st_mtime_ns))
    return tuple(found)


@contextmanager
def alone(class_id: str) -> Iterator[bool]:
    """Yield whether nobody else has the queue of a class in hand, as another app that holds it; nobody gets it meanwhile."""
    lock = FileLock(f"{_path(class_id)}.lock", blocking=False)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def remove_files(class_id: str) -> None:
    """Remove the file of a class, and what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm", ".lock"):
        Path(f"{_path(class_id)}{suffix}").unlink(missing_ok=True)


def _path(class_id: str) -> Path:
    return paths.classes_dir() / f"{class_id}.sqlite"


def _run_of(connection: sqlite3.Connection, digest: str) -> str | None:
    row = connection.execute("SELECT run_id FROM items WHERE digest = ? AND run_id IS NOT NULL ORDER BY id LIMIT 1", (digest,)).fetchone()
    return row["run_id"] if row else None


def _participant(row: sqlite3.Row) -> Participant:
    return Participant(row["id"], row["nickname"], row["number"], row["joined"], bool(row["removed"]))


def _item(row: sqlite3.Row) -> Item:
    return Item(row["id"], row["participant"], row["lesson"], row["recipe"], row["label"], row["config"], row["digest"], row["submitted"],
                row["state"], row["run_id"], row["message"], bool(row["first"]), bool(row["shared"]), bool(row["fresh"]))
