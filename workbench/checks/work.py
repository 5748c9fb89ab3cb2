"""What a piece of background work needs, whatever it is: a process that outlives this one, and the end of its log."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

from workbench.paths import ROOT, home
from workbench.processes import detached, inherited

LOG, STOP = "log.txt", "stop"  # in the folder of the work: what its process printed; there while a stop is asked for
LOG_BYTES = 16_000


def launch(command: Sequence[str], folder: Path) -> int:
    """Start the process of the work that `folder` is about; its output goes to the log there.

    Returns:
        Its process id.

    Raises:
        OSError: it cannot be started.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / STOP).unlink(missing_ok=True)
    environment = inherited() | {"PYTHONUNBUFFERED": "1", "STILLHOUSE_HOME": str(home()),
                                 "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))}
    with open(folder / LOG, "wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                                   **detached())
    # An ended child that nobody waits for stays behind as a zombie.
    threading.Thread(target=process.wait, name=f"reap {folder.name}", daemon=True).start()
    return process.pid


def log_tail(folder: Path) -> str:
    """The end of what its process printed."""
    try:
        with open(folder / LOG, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_BYTES))
            return file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
