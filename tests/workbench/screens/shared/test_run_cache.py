"""What all sessions share of a run."""

from __future__ import annotations

import threading
from pathlib import Path

from workbench.screens.shared.run_cache import RunCache
from workbench.store import Store


def test_a_run_has_one_object_and_another_run_or_store_another(home: Path, tmp_path: Path) -> None:
    cache, store = RunCache(object, kept=8), Store()
    assert cache.of(store, "a") is cache.of(store, "a")
    assert cache.of(store, "a") is not cache.of(store, "b")
    assert cache.of(Store(tmp_path / "other.sqlite"), "a") is not cache.of(store, "a")


def test_the_run_that_was_looked_at_longest_ago_goes_first(home: Path) -> None:
    cache, store = RunCache(object, kept=2), Store()
    first, second = cache.of(store, "a"), cache.of(store, "b")
    assert cache.of(store, "a") is first
    cache.of(store, "c")
    assert cache.of(store, "a") is first
    assert cache.of(store, "b") is not second


def test_threads_that_ask_at_once_get_the_same_object(home: Path) -> None:
    cache, store, start = RunCache(object, kept=8), Store(), threading.Barrier(8)
    seen: list[object] = []

    def look() -> None:
        start.wait()
        seen.append(cache.of(store, "a"))

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8 and len(set(map(id, seen))) == 1
