"""Who is alive, by pid, start and boot of the machine; and what a process that this one starts gets from it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil


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
    """Return the environment for a process that this one starts: its own without the settings of the servers that run in it."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("STREAMLIT_", "GRADIO_"))}


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
