"""Who is logged in: a file for each session, so that one can be ended, by anybody who is logged in, and a restart ends none.

    <home>/sessions/<hash of the session's id>.json

The id itself is in the browser's cookie only. Several processes of one home see the same sessions.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from workbench.errors import ServeError

SECONDS = 12 * 3600  # of a session
SEEN_EVERY = 60.0  # seconds between two notes of when a session was last used
MOST = 1000  # sessions; of more, the oldest ends
LONGEST = 200  # characters of what a browser says of itself


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that is logged in.

    Attributes:
        name: hash of its id, by which it is ended.
        begun, seen: seconds since 1970; when it logged in, when it was last used.
        address: of the visitor when they logged in.
        browser: what it said of itself.
        password: fingerprint of the password and the key that it was begun with.
    """

    name: str
    begun: float
    seen: float
    address: str
    browser: str
    password: str


class Sessions:
    """The sessions of one password.

    Args:
        folder: where their files are; it need not exist yet.
        password: fingerprint; sessions that were begun with another are not listed.
    """

    def __init__(self, folder: Path, password: str) -> None:
        self._folder, self._password = folder, password

    def begin(self, address: str, browser: str) -> str:
        """Begin a session and return its id.

        Raises:
            ServeError: its file cannot be written.
        """
        identifier = secrets.token_urlsafe(32)
        now = time.time()
        session = Session(name_of(identifier), now, now, address[:LONGEST], browser[:LONGEST], self._password)
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            known = sorted(self._read_all(), key=lambda each: each.begun)
            for old in known[:max(0, len(known) - MOST + 1)]:
                self.end(old.name)
            aside = self._folder / f".{session.name}"
            with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                json.dump(asdict(session), file)
            aside.replace(self._file(session.name))
        except OSError as error:
            raise ServeError(f"The session cannot be kept in {self._folder}: {(error.strerror or str(error)).lower()}.",
                             "A folder that can be written, with free space, was expected.") from error
        return identifier

    def is_valid(self, identifier: str) -> bool:
        """Return whether a session has begun and not ended, and note that it is in use."""
        session = self._read(self._file(name_of(identifier)))
        if session is None:
            return False
        if abs(time.time() - session.seen) > SEEN_EVERY:
            with contextlib.suppress(OSError):  # ended just now, or a disk that cannot be written: the list is a little older
                os.utime(self._file(session.name), (time.time(), time.time()))
        return True

    def end(self, name: str) -> None:
        """End a session by its name; one that has ended is none."""
        if re.fullmatch("[0-9a-f]{64}", name):  # it comes from a form, and becomes the name of a file
            self._file(name).unlink(missing_ok=True)

    def listed(self) -> list[Session]:
        """Return the sessions of this password, the one that was used last first; those that are over are removed."""
        return sorted((each for each in self._read_all() if each.password == self._password), key=lambda each: -each.seen)

    def _read_all(self) -> list[Session]:
        found = [self._read(path) for path in self._folder.glob("*.json")] if self._folder.is_dir() else []
        return [session for session in found if session is not None]

    def _read(self, path: Path) -> Session | None:
        """Return the session of a file; None where there is none, or it is over."""
        try:
            plain = json.loads(path.read_text(encoding="utf-8"))
            session = Session(**{**plain, "seen": path.stat().st_mtime})
        except (OSError, ValueError, TypeError):  # ended in the meantime, or no file of ours
            return None
        if abs(time.time() - session.begun) >= SECONDS:  # one that began under a clock that was far ahead would last until then
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        return session

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def name_of(identifier: str) -> str:
    """Return the name of a session: whoever reads the folder of sessions cannot use them."""
    return hashlib.sha256(identifier.encode()).hexdigest()
