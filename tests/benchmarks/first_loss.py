"""How soon a run shows something: seconds from the click to its first loss point, with a worker that waits for it and without one.

The recipe is quickstart. In a new home folder nothing is packed or measured; the second run finds both. What is measured is the time until
the store has the first loss, as the run's page does.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from core.recipes import read_recipe
from core.recorder import STUDENT
from tests.benchmarks.table import ROOT, Figure
from workbench.runs import jobs, ready
from workbench.store import Store

TIMES, GOAL, STOP_GOAL = 3, 5.0, 5.0
LONGEST = 300.0  # seconds
MEMORY = 1 << 30


def first_loss(store: Store) -> tuple[float, float]:
    """Seconds from the submission of quickstart to its first loss in the store, and from a request to stop to its end."""
    began = time.perf_counter()
    run = jobs.submit(read_recipe(ROOT / "assets" / "recipes" / "quickstart.yaml"), store)
    _until(lambda: len(store.metrics(run.id, STUDENT, ["loss"])) > 0)
    seconds = time.perf_counter() - began
    began = time.perf_counter()
    store.request_stop(run.id)
    _until(lambda: not store.run(run.id).active)
    return seconds, time.perf_counter() - began


def measured() -> dict[str, list[tuple[float, float]]]:
    """What `first_loss` gives in a new home, then with a new process, then with one that waits."""
    found: dict[str, list[tuple[float, float]]] = {"first": [], "cold": [], "warm": []}
    with tempfile.TemporaryDirectory() as home:
        store = Store(Path(home) / "store.sqlite")
        found["first"].append(first_loss(store))
        found["cold"] += [first_loss(store) for _ in range(TIMES)]
        waiting = jobs.ready_worker(store, MEMORY)
        runner = jobs.Runner(store, ready=waiting)
        runner.start()
        try:
            for _ in range(TIMES):
                _until(lambda: _waits(waiting))
                found["warm"].append(first_loss(store))
        finally:
            runner.stop()
    return found


def figures() -> list[Figure]:
    """The rows of the table."""
    found = measured()
    warm, cold = (statistics.median(loss for loss, _ in found[name]) for name in ("warm", "cold"))
    stop = max(stop for runs in found.values() for _, stop in runs)
    return [
        Figure("click to first loss point, quickstart, warm app", warm, "s", f"< {GOAL:g} s", warm < GOAL,
               f"{cold:.1f} s without a worker that waits; {found['first'][0][0]:.1f} s where the corpus is not packed either"),
        Figure("stop right after the first step", stop, "s", f"< {STOP_GOAL:g} s", stop < STOP_GOAL, "the longest of all"),
    ]


def _waits(waiting: ready.ReadyWorker) -> bool:
    """Whether a worker has imported everything and waits: it uses no processor any more."""
    import psutil

    if waiting._process is None or waiting._process.poll() is not None:
        return False
    process = psutil.Process(waiting._process.pid)
    before = process.cpu_times()
    time.sleep(1.0)
    return before.user > 1 and process.cpu_times().user - before.user < 0.02


def _until(reached: object) -> None:
    limit = time.monotonic() + LONGEST
    while not reached():  # type: ignore[operator]  # a function without arguments
        if time.monotonic() > limit:
            raise TimeoutError("the run does not come so far")
        time.sleep(0.05)
