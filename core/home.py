"""Where Stillhouse keeps what it makes: one folder, named by STILLHOUSE_HOME."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import DiskFull, StillhouseError
from core.quantities import room

HOUSE_MODELS = Path(__file__).resolve().parents[1] / "assets" / "models"  # what ships with the project


def home() -> Path:
    """The folder of all state: the environment variable STILLHOUSE_HOME, or ``~/.stillhouse``."""
    return Path(os.path.expanduser(os.environ.get("STILLHOUSE_HOME") or "~/.stillhouse")).absolute()


def models_dir() -> Path:
    """Where models that were fetched or converted are kept."""
    return home() / "models"


def cache_dir() -> Path:
    """Where what can be made again is kept: packed blocks."""
    return home() / "cache"


@contextmanager
def written_whole(target: Path, needed_bytes: int) -> Iterator[Path]:
    """An empty folder that becomes `target` if the block ends well, and vanishes if it does not.

    When another process has made `target` in the meantime, that one stays and this work is dropped.

    Args:
        target: the folder to make; its parents are made as needed.
        needed_bytes: room that the block will need on the disk at its peak.

    Raises:
        DiskFull: less room than that.
        StillhouseError: a place that cannot be written to.
    """
    with _writable(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.parent / f".{target.name}.{uuid.uuid4().hex}"
        partial.mkdir()
    try:
        free = shutil.disk_usage(partial).free
        if free < needed_bytes:
            raise DiskFull(f"'{target.parent}' has {room(free)} left.", f"{room(needed_bytes)} are needed.",
                           "Make room, or set STILLHOUSE_HOME to a folder on a larger disk.")
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
            raise DiskFull(f"The disk of '{folder}' is full.", "",
                           "Make room, or set STILLHOUSE_HOME to a folder on a larger disk.") from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR):
            raise StillhouseError(f"'{folder}' cannot be written to.", "A folder that you may write to was expected.",
                                  "Set STILLHOUSE_HOME to another folder.") from error
        raise
