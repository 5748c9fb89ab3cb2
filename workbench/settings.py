"""The settings that the app reads from environment variables."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Setting:
    """An environment variable.

    Attributes:
        variable: its name.
        meaning: what it sets.
        default: used where it is not set, or empty; empty itself where there is none.
    """

    variable: str
    meaning: str
    default: str = ""

    def read(self) -> str:
        """Return the value in the environment, else the default."""
        return os.environ.get(self.variable) or self.default


PORT = Setting("PORT", "TCP port of the app; 0 takes any free one", "8501")
HOME = Setting("STILLHOUSE_HOME", "folder of runs, uploads and fetched models", "~/.stillhouse")  # read by the engine too
HOST = Setting("STILLHOUSE_HOST", "address to listen on; one that other machines reach needs a password", "127.0.0.1")
PASSWORD = Setting("STILLHOUSE_PASSWORD", "password for everything that the app serves; needed behind a proxy as well")
PROXIES = Setting("STILLHOUSE_PROXIES", "addresses or networks, separated by commas, of the proxies in front of the app: only of these are "
                  "`X-Forwarded-For`, `-Proto` and `-Host` believed")
UPLOAD = Setting("STILLHOUSE_UPLOAD_MB", "MB; the largest file that the browser may upload", "100")
VISITOR_UPLOADS = Setting("STILLHOUSE_VISITOR_UPLOAD_MB", "MB; what may be uploaded from one address within a day", "1000")
FOLDERS = Setting("STILLHOUSE_FOLDERS", "folders, separated as in PATH, from which visitors may name data and models where a password "
                  "is set, beside uploads, runs and models of the home folder; without one they may name whatever this account reads")
CLASS = Setting("STILLHOUSE_CLASS", "id of the class that the app holds; `python -m workbench classroom` sets it")
LESSONS = Setting("STILLHOUSE_LESSONS", "folder of lessons of one's own, Markdown files beside those that ship")

READY = Setting("STILLHOUSE_READY_WORKER_MB", "MB; memory that must be free for a worker process to be kept ready with the engine's "
                "libraries imported (it holds about 400 MB itself), so that a run begins seconds sooner; 0: none is kept", "3000")

# Both are read by the engine too (`core.signals.server_client`).
TEACHER_KEY = Setting("STILLHOUSE_TEACHER_KEY", "key that a teacher's server at an address is sent, as a bearer token; and that "
                      "`serve-teacher` asks for, which it needs on an address that other machines reach. It is never stored or logged")
TEACHERS = Setting("STILLHOUSE_TEACHERS", "addresses, separated by commas, of teachers' servers: with it the key is sent to no other, and "
                   "where a password is set visitors may name no other")
HOSTS = Setting("STILLHOUSE_HOSTS", "names, separated by commas, of hosts on which visitors may submit jobs by ssh where a password is "
                "set; without one none: they run commands of their own there, with your account")

SETTINGS = (PORT, HOME, HOST, PASSWORD, PROXIES, UPLOAD, VISITOR_UPLOADS, FOLDERS, LESSONS, CLASS, READY, TEACHER_KEY, TEACHERS, HOSTS)
