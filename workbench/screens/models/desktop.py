"""Open a folder in the file manager of the machine that serves the pages, where it has one and somebody looks at it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

from workbench.errors import DesktopError

REFUSAL_SECONDS = 1.0  # a file manager that cannot open a folder ends within this time


def file_manager() -> list[str] | None:
    """Return the command to which a folder is appended to show it, or None without one or without a display."""
    if sys.platform == "win32":
        command = ["explorer"]
    elif sys.platform == "darwin":
        command = ["open", "-R"]  # shows it among its neighbours: a folder called x.app would be run otherwise
    elif os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        command = ["xdg-open"]
    else:
        return None
    return command if shutil.which(command[0]) else None


def open_folder(folder: Path) -> None:
    """Show a folder in the file manager.

    Raises:
        DesktopError: there is no file manager, the folder has gone, or the file manager refused it.
    """
    command = file_manager()
    if command is None:
        raise DesktopError("This machine has no file manager that could be opened.", "A desktop was expected.", "Copy the path instead.")
    if not folder.is_dir():
        raise DesktopError(f"The folder {folder} is not there any more.")
    process = subprocess.Popen([*command, str(folder.absolute())], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        status = process.wait(REFUSAL_SECONDS)
    except subprocess.TimeoutExpired:
        threading.Thread(target=process.wait, daemon=True).start()  # it is open; whoever started it also reaps it
        return
    if status and sys.platform != "win32":  # explorer ends with 1 when all went well
        raise DesktopError(f"{command[0]} could not open {folder} (exit status {status}).", "", "Copy the path instead.")
