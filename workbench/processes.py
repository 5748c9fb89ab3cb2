"""Who is alive, by pid, start and boot of the machine; and what a process that this one starts gets from it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from core.system import reach
from core.system.paths import SOURCE

NICENESS = 5  # of workers: the app stays quick on a machine with few cores
OWN_SCORE = Path("/proc/self/oom_score_adj")
FIRST_TO_END = 500  # of 1000: half of all memory is added to what it uses when the system chooses which process to end
LOG_BYTES = 16_000  # of the end of a log that is shown
ENDED_SILENTLY = "Its process ended without a word: killed, out of memory, or crashed."


@dataclass(frozen=True, slots=True)
class Process:
    """One process, identified uniquely: a pid alone is reused sooner or later.

    Attributes:
        pid: process id.
        started: when it started, in a unit of the operating system; only compared for equality.
        boot_id: the boot of the machine (and the pid namespace) in which the pid means something.
    """

    pid: int
    started: float
    boot_id: str

    @classmethod
    def current(cls) -> Process:
        """Return this process."""
        return cls.of(os.getpid())

    @classmethod
    def of(cls, pid: int) -> Process:
        """Return a process of this machine. Raises psutil.NoSuchProcess when there is none."""
        return cls(pid, _start_time(pid), boot_id())

    @property
    def local(self) -> bool:
        """Whether the pid belongs to this boot of this machine."""
        return self.boot_id == boot_id()

    @property
    def alive(self) -> bool:
        """Whether it still runs here. A zombie, killed but not yet reaped, does not."""
        if not self.local:
            return False
        try:
            return _start_time(self.pid) == self.started and psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:
            return True

    def kill(self) -> None:
        """End it and all its children, data loaders included, without asking."""
        if not self.alive:
            return
        try:
            family = [*psutil.Process(self.pid).children(recursive=True), psutil.Process(self.pid)]
        except psutil.NoSuchProcess:
            return
        for member in family:
            try:
                member.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(family, timeout=5)


def detached() -> dict[str, Any]:
    """Arguments of `subprocess.Popen` for a process that no Ctrl-C or hang-up of this terminal reaches."""
    if sys.platform == "win32":
        # A group of its own keeps Ctrl-C away; no window of its own means another console, so closing this one leaves it alone.
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}


def inherited() -> dict[str, str]:
    """Return the environment for a process that this one starts: its own without the settings and limits of the servers that run in it."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("STREAMLIT_", "GRADIO_", reach.VARIABLE))}


def detached_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a detached process: `environment` with `PYTHONPATH` and `PYTHONUNBUFFERED`."""
    return {**environment, "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": os.pathsep.join(dict.fromkeys(filter(None, (str(SOURCE), *environment.get("PYTHONPATH", "").split(os.pathsep)))))}


def start_detached(command: Sequence[str], log: Path, environment: Mapping[str, str], *, waits: bool = False) -> subprocess.Popen[bytes]:
    """Start a process that outlives this one, in the folder of the project's source; its output is appended to the file `log`.

    Args:
        environment: its variables, as `detached_environment` completes them.
        waits: its standard input is a pipe from this process, else it is empty.

    Raises:
        OSError: it cannot be started.
    """
    with open(log, "ab") as output:
        return subprocess.Popen(command, cwd=SOURCE, env=detached_environment(environment),
                                stdin=subprocess.PIPE if waits else subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                **detached())


@contextmanager
def reaped(process: subprocess.Popen[bytes]) -> Iterator[Process]:
    """Give a new process before anything waits for it, so that its pid is surely its own; wait for its end in a thread afterwards."""
    try:
        yield Process.of(process.pid)
    finally:
        # A child that has ended and is not waited for stays behind as a zombie.
        threading.Thread(target=process.wait, name=f"reap {process.pid}", daemon=True).start()


def lower_priority() -> None:
    """Let the app go first where this process shares a few cores with it, and stay where memory runs out."""
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    offer_memory()


def offer_memory() -> None:
    """Let the system end this process before the app where a machine or a container that both share has no memory left (Linux)."""
    with suppress(OSError):  # no other system has such a file
        score = int(OWN_SCORE.read_text())
        OWN_SCORE.write_text(str(max(score, FIRST_TO_END)))


def log_tail(log: Path, limit: int = LOG_BYTES) -> str:
    """Return the last `limit` bytes of what a process printed, as a terminal would show it; empty before it printed anything."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - limit))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines)  # a progress bar rewrites its line after "\r"


@cache
def boot_id() -> str:
    """Return an id that changes with every boot, and differs between containers that have pids of their own."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return str(int(psutil.boot_time()))


def _start_time(pid: int) -> float:
    try:
        # Clock ticks since boot. psutil adds the boot time to them, which moves when the clock is set.
        return float(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except FileNotFoundError:
        return psutil.Process(pid).create_time()
    except ProcessLookupError as error:
        raise psutil.NoSuchProcess(pid) from error
