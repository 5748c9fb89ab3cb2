"""The app as a user starts it, for tests: a process of its own on a free port."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import WrongStatus
from workbench.runs import jobs
from workbench.store import Store
from workbench.store.records import ACTIVE

ROOT = Path(__file__).resolve().parents[1]
COMMAND = (sys.executable, "-m", "workbench")


@dataclass(frozen=True)
class AppProcess:
    """A running app: its process, address, home folder and output."""

    process: subprocess.Popen
    url: str
    home: Path
    log: Path


@contextlib.contextmanager
def running_app(folder: Path, *, home: Path | None = None, command: Sequence[str] = COMMAND, cwd: Path = ROOT,
                start_within: float = 60, end_within: float = 15, **environment: str) -> Iterator[AppProcess]:
    """`python -m workbench`, answering. Ended by SIGTERM; one that does not end in time is killed, and that is an error.

    Args:
        folder: where its output goes, and its home unless `home` is given.
        command, cwd: what starts it, and in which folder.
        start_within, end_within: seconds.
        environment: more variables for it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    home, log = home or folder / "home", folder / "app.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                   start_new_session=True,
                                   env={**os.environ, "PORT": "0", "STILLHOUSE_HOME": str(home), **environment})
    try:
        yield AppProcess(process, _address(process, log, start_within), home, log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(end_within)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise


def end_runs(home: Path) -> None:
    """End every run of this home, workers included: they are detached and outlive the app."""
    if not (home / "store.sqlite").exists():
        return
    store = Store(home / "store.sqlite")
    for run in store.runs(status=("queued", *ACTIVE), include_deleted=True):
        with contextlib.suppress(WrongStatus):  # it ended in the meantime
            jobs.force_stop(run.id, store)


def _address(process: subprocess.Popen, log: Path, seconds: float) -> str:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        if found := re.search(r"http://\S+", log.read_text()):
            return found[0]
        time.sleep(0.05)
    raise AssertionError(f"the app did not start:\n{log.read_text()}")
