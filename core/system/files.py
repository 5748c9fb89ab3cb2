"""JSON files that are there whole or not at all."""

from __future__ import annotations

import errno
import functools
import json
import os
import platform
import shutil
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.errors import DiskFullError, StillhouseError
from core.system import ranks
from core.system.units import format_gib


def unique_suffix() -> str:
    """Return what tells the unfinished files of threads and processes apart, on several machines too, with the rank in a run."""
    return f"{ranks.rank()}.{platform.node()}.{os.getpid()}.{threading.get_ident()}"


def write_json(path: Path, plain: Any) -> None:
    """Write plain data, in place of what was there; folders are made as needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{unique_suffix()}.partial")
    partial.write_text(json.dumps(plain, indent=1), encoding="utf-8")
    os.replace(partial, path)


@functools.cache
def file_system(folder: Path) -> str:
    """Return the kind of file system that a folder lies on, as the kernel calls it (ext4, nfs4); empty where that is not known.

    Args:
        folder: absolute, without links.
    """
    import psutil

    mounted = [part for part in psutil.disk_partitions(all=True) if folder.is_relative_to(part.mountpoint)]
    return max(mounted, key=lambda part: len(Path(part.mountpoint).parts)).fstype if mounted else ""


def read_json(path: Path) -> Any | None:
    """Return plain data; None where there is no such file, or none that can be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def require_free_disk(folder: Path, needed_bytes: int) -> None:
    """Raise DiskFullError if the disk of a folder, which need not exist yet, has less room than that."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    if free < needed_bytes:
        raise DiskFullError(f"The disk of '{there}' has {format_gib(free)} left.", f"{format_gib(needed_bytes)} are needed.",
                            "Make room, or set STILLHOUSE_HOME to a folder on a larger disk.")


@contextmanager
def atomic_directory(target: Path, needed_bytes: int) -> Iterator[Path]:
    """Provide an empty folder that becomes `target` if the block ends well, and vanishes if it does not.

    When another process has made `target` in the meantime, that one stays and this work is dropped.

    Args:
        target: the folder to make; its parents are made as needed.
        needed_bytes: room that the block will need on the disk at its peak.

    Raises:
        DiskFullError: less room than that.
        StillhouseError: a place that cannot be written to.
    """
    with _writable(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.parent / f".{target.name}.{uuid.uuid4().hex}"
        partial.mkdir()
    try:
        require_free_disk(partial, needed_bytes)
        with _writable(target.parent):
            yield partial
        if not target.exists():
            try:
                partial.rename(target)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # another process was done at the same moment
                    raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(f"The disk of '{folder}' is full.", "",
                                "Make room, or set STILLHOUSE_HOME to a folder on a larger disk.") from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR):
            raise StillhouseError(f"'{folder}' cannot be written to.", "A folder that you may write to was expected.",
                                  "Set STILLHOUSE_HOME to another folder.") from error
        raise
