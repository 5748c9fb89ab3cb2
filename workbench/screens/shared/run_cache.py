"""What all sessions of the process share of a run."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from workbench.store import Store

T = TypeVar("T")


class RunCache(Generic[T]):
    """One object for each of the runs that were looked at last. Threads may share it; the objects guard themselves.

    Args:
        make: gives the object of a run that has none.
        kept: how many runs.
    """

    def __init__(self, make: Callable[[], T], kept: int) -> None:
        self._make, self._kept, self._lock = make, kept, threading.Lock()
        self._runs: OrderedDict[tuple[Path, str], T] = OrderedDict()

    def of(self, store: Store, run_id: str) -> T:
        """Return the object of a run of this store."""
        key = store.path, run_id
        with self._lock:
            if key not in self._runs:
                self._runs[key] = self._make()
            self._runs.move_to_end(key)
            while len(self._runs) > self._kept:
                self._runs.popitem(last=False)
            return self._runs[key]
