"""Processes that end with the one that started them, however that ends."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping

from workbench.processes import Process

PARENT = "STILLHOUSE_PARENT"  # pid and start of the process to end with
SECONDS = 0.5


def as_parent(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a process that is to end with this one."""
    own = Process.current()
    return {**environment, PARENT: f"{own.pid} {own.started!r}"}


def end_with_parent() -> None:
    """From now on end this process, and those that it started, within a second of its parent's end; nothing where none is named."""
    named = os.environ.get(PARENT)
    if not named:
        return
    pid, started = named.split()
    parent = Process(int(pid), float(started), Process.current().boot_id)

    def watch() -> None:
        while parent.alive:
            time.sleep(SECONDS)
        Process.current().kill()

    threading.Thread(target=watch, name="watch the parent", daemon=True).start()
