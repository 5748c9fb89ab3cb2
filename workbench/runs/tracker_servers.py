"""Local trackers, opened for runs: tensorboard over the files in their folders, trackio over its own store.

Each answers on this machine alone, at a free port, as long as the app runs or until it is closed. Nothing here imports a tracker.
"""

from __future__ import annotations

import atexit
import importlib.util
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench import paths, processes
from workbench.processes import Process, inherited
from workbench.store.records import Run

ADDRESS = re.compile(r"https?://(?:localhost|127\.0\.0\.1):\d+[^\s\x1b()]*")
TITLES = {"tensorboard": "TensorBoard", "trackio": "Trackio"}
TRACKIO = "import sys, trackio; trackio.show(project=sys.argv[1], open_browser=False, host='127.0.0.1', block_thread=True)"
PROJECT = "huggingface"  # where Trainer's callback puts runs, unless it is given another name


@dataclass(frozen=True)
class TrackerServer:
    """A tracker that was started.

    Attributes:
        process: pid; log: what it printed, its address among it.
    """

    tracker: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def address(self) -> str | None:
        """Where it answers; None before it says so."""
        found = ADDRESS.search(processes.log_tail(self.log))
        return found[0].rstrip("/.") if found else None

    @property
    def ended(self) -> bool:
        """Whether its process has ended."""
        return self.process.poll() is not None


def _tensorboard(runs: Sequence[Run]) -> list[str]:
    """Return the command; the folders of several runs have the names of their runs."""
    own = ["--logdir", str(logs_of(runs[0]))] if len(runs) == 1 else [
        "--logdir_spec", ",".join(f"{run.name}:{logs_of(run)}" for run in runs), "--load_fast", "false"]  # the fast loader knows no names
    return [sys.executable, "-m", "tensorboard.main", *own, "--host", "127.0.0.1", "--port", "0"]


def _trackio(_runs: Sequence[Run]) -> list[str]:
    return [sys.executable, "-c", TRACKIO, PROJECT]


COMMANDS: Mapping[str, Callable[[Sequence[Run]], list[str]]] = {"tensorboard": _tensorboard, "trackio": _trackio}

_lock = threading.Lock()
_open: dict[tuple[str, tuple[str, ...]], TrackerServer] = {}


def logs_of(run: Run) -> Path:
    """Return the folder of a run's tracker files, a folder for each variant in it."""
    return run.directory / "logs"


def trackers_of(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Return tracker -> the runs that report to it and have something to show; trackers that are not installed are left out."""
    found: dict[str, list[Run]] = {}
    for name in COMMANDS:
        reporting = [run for run in runs if name in _report_to(run) and run.started is not None
                     and (name != "tensorboard" or logs_of(run).is_dir())]
        if reporting and importlib.util.find_spec(name) is not None:
            found[name] = reporting
    return found


def opened(tracker: str, runs: Sequence[Run]) -> TrackerServer | None:
    """Return the server that was started for these runs, whether it still runs or not."""
    with _lock:
        return _open.get(_key(tracker, runs))


def open_server(tracker: str, runs: Sequence[Run]) -> TrackerServer:
    """Start a tracker for these runs, or return the one that runs. Raises OSError where it cannot be started."""
    with _lock:
        known = _open.get(_key(tracker, runs))
        if known is not None and not known.ended:
            return known
        folder = paths.home() / "trackers"
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / f"{tracker}-{runs[0].id}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(COMMANDS[tracker](runs), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                       env=inherited() | {"PYTHONUNBUFFERED": "1"})
        if not _open:
            atexit.register(close_all)
        server = _open[_key(tracker, runs)] = TrackerServer(tracker, process, log)
        return server


def close(server: TrackerServer) -> None:
    """End a tracker."""
    with _lock:
        for key in [key for key, each in _open.items() if each is server]:
            del _open[key]
    _end(server)


def close_all() -> None:
    """End every tracker that was started here."""
    with _lock:
        servers = list(_open.values())
        _open.clear()
    for server in servers:
        _end(server)


def _end(server: TrackerServer) -> None:
    if not server.ended:
        Process.of(server.process.pid).kill()  # tensorboard reads its files in a process of its own
    server.process.wait()


def _key(tracker: str, runs: Sequence[Run]) -> tuple[str, tuple[str, ...]]:
    return tracker, tuple(run.id for run in runs)


def _report_to(run: Run) -> Sequence[str]:
    """Return the trackers that a run reports to; readable whatever release wrote it."""
    return json.loads(run.config_json).get("train", {}).get("report_to") or ()
