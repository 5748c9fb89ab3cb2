"""The app as a user starts it, for tests: a process of its own on a free port."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.waiting import PATIENCE, wait_until
from workbench.errors import WrongStatusError
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
                **environment: str) -> Iterator[AppProcess]:
    """`python -m workbench`, answering. Ended by SIGTERM; one that does not end in time is killed, and that is an error.

    Args:
        folder: where its output goes, and its home unless `home` is given.
        command, cwd: what starts it, and in which folder.
        environment: more variables for it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    home, log = home or folder / "home", folder / "app.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                   start_new_session=True,
                                   env={**os.environ, "PORT": "0", "STILLHOUSE_HOME": str(home), **environment})
    try:
        yield AppProcess(process, _address(process, log), home, log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise


def end_runs(home: Path) -> None:
    """End every run of this home, workers included: they are detached and outlive the app."""
    if not (home / "store.sqlite").exists():
        return
    end_runs_of(Store(home / "store.sqlite"))


def end_runs_of(store: Store) -> None:
    """End every run of this store, whatever it is doing."""
    for run in store.runs(status=("queued", *ACTIVE), include_deleted=True):
        with contextlib.suppress(WrongStatusError):  # it ended in the meantime
            jobs.force_stop(run.id, store)


def _address(process: subprocess.Popen, log: Path) -> str:
    def look() -> re.Match[str] | None:
        assert process.poll() is None, f"the app did not start:\n{log.read_text()}"
        return re.search(r"http://\S+", log.read_text())

    return wait_until(look, lambda: f"the app's address in its log:\n{log.read_text()}")[0]
