"""A run in several processes of this machine."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from core.system import machine
from core.system.files import read_json
from workbench.launch.agent import FAILURES
from workbench.launch.family import as_parent
from workbench.launch.job import Job
from workbench.launch.launcher import JobStatus, Progress
from workbench.processes import Process, inherited, log_tail, start_detached

LAST_LINES = 12  # of a process that ended, which its error quotes


class LocalProcesses:
    """Starts processes that end with this one.

    Args:
        count: how many.
    """

    outlives, poll, patience = False, 0.1, 600.0

    def __init__(self, count: int) -> None:
        self._count = count
        self._agents: dict[str, tuple[subprocess.Popen[bytes], Path]] = {}

    def submit(self, job: Job, on_progress: Progress) -> str:
        """Start the processes. Raises OSError where that is refused."""
        threads = str(max(1, machine.cores() // self._count))
        agent = start_detached([sys.executable, "-m", "workbench.launch.agent", str(job.directory), str(self._count)],
                               job.folder / "agent.log", as_parent({"OMP_NUM_THREADS": threads} | inherited()))
        self._agents[str(agent.pid)] = agent, job.folder
        return str(agent.pid)

    def status(self, job_id: str) -> JobStatus:
        """Return whether they run; those of another process have ended with it."""
        if job_id not in self._agents:
            return JobStatus("ended", "ended")
        agent, folder = self._agents[job_id]
        if agent.poll() is None:
            return JobStatus("running", "running")
        return JobStatus("ended", "ended", _failure(folder) if agent.returncode else "")

    def sync(self, on_progress: Progress, *, ended: bool = False) -> str:
        """Do nothing: they write into the run's own folder."""
        return ""

    def cancel(self, job_id: str) -> None:
        """End them at once."""
        if job_id in self._agents and (agent := self._agents[job_id][0]).poll() is None:
            Process.of(agent.pid).kill()
            agent.wait()

    def log(self, job_id: str) -> str:
        """Return nothing: what a process printed at its end is in the failure."""
        return ""


def _failure(folder: Path) -> str:
    """Return which process ended first, and how; empty where it has said so itself."""
    codes = {int(rank): code for rank, code in (read_json(folder / FAILURES) or {}).items()}
    silent = [rank for rank in codes if not (folder / f"{rank}.error.json").exists()]
    # The others miss the one that was killed, and say so.
    first = next((rank for rank in silent if codes[rank] < 0), next(iter(silent), None) if len(silent) == len(codes) else None)
    if first is not None:
        how = f"was ended by {_signal(-codes[first])}" if codes[first] < 0 else f"ended with exit code {codes[first]}"
        return f"Process {first} {how}. {last_lines(folder / f'{first}.log')}"
    return "" if codes else f"The processes of the run could not be started, or were ended together. {last_lines(folder / 'agent.log')}"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def last_lines(log: Path) -> str:
    """Return the end of what a process printed, as one sentence."""
    lines = [line for line in log_tail(log).splitlines() if line.strip()][-LAST_LINES:]
    return f"Its last lines: {' | '.join(lines)}" if lines else "It printed nothing."
