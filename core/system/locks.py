"""Locks between processes: a file that one of them holds, until it lets go or ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

LOOK_SECONDS = 1.0  # between two calls of `waiting`


@contextmanager
def alone(path: Path, waiting: Callable[[], object]) -> Iterator[None]:
    """Keep all other processes out of the block; one that is inside it is waited for.

    Args:
        path: the lock; its folder exists.
        waiting: called once in a while meanwhile; what it raises ends the wait.
    """
    lock = FileLock(path)
    while not lock.is_locked:
        try:
            lock.acquire(timeout=LOOK_SECONDS)
        except Timeout:
            waiting()
    try:
        yield
    finally:
        lock.release()
