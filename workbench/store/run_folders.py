"""The folders of runs on the disk: among the others, or a link to one on a file system that other machines see too."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def make_folder(directory: Path, launch: Mapping[str, Any] | None) -> None:
    """Make a run's folder, or a link to one on the file system that it shares with other machines."""
    shared = shared_folder(directory, launch)
    if shared is None:
        directory.mkdir(parents=True)
        return
    shared.mkdir(parents=True)
    directory.parent.mkdir(parents=True, exist_ok=True)
    directory.symlink_to(shared, target_is_directory=True)


def shared_folder(directory: Path, launch: Mapping[str, Any] | None) -> Path | None:
    """Return where a run's folder really lies, if not among the others; the folder of a host is none of this machine's."""
    folder = launch.get("folder") if launch is not None and launch.get("host") is None else None
    return Path(os.path.expanduser(folder)).absolute() / directory.name if folder else None


def remove_folder(directory: Path) -> None:
    """Remove what `make_folder` made."""
    if directory.is_symlink():
        shutil.rmtree(directory.resolve(), ignore_errors=True)
        directory.unlink()
    shutil.rmtree(directory, ignore_errors=True)


def write_durably(path: Path, text: str) -> None:
    """Write a text, on the disk before this returns."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
