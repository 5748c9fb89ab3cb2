"""A class of thirty on one machine: all submit a lesson's experiment, all watch one run, ten prompt a model at once.

The thirty runs go through the class's own queue with a seed for each participant, so that none is shared; the app that starts them is a
process of its own, as a user starts it. Watching is measured by `tests.benchmarks.watchers`.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.app_process import COMMAND, end_runs, running_app
from tests.benchmarks.table import Figure
from workbench import lessons
from workbench.classroom import queue
from workbench.classroom.store import ClassStore
from workbench.inference import client
from workbench.inference.wire import Loaded
from workbench.lessons import experiments
from workbench.store import Store

PARTICIPANTS, AT_ONCE, WAIT = 30, 10, 3600.0
LESSON, RECIPE, MODEL = "did-the-teacher-help", "with-control", "house-chat"
PROMPT, TOKENS = "Write a positive one-line review.", 60


def served(folder: Path, count: int = PARTICIPANTS) -> tuple[float, list[float]]:
    """Let everybody submit at once.

    Returns:
        Seconds until the last run has ended, and for each run those from the submission to its first loss.
    """
    home = folder / "home"
    with running_app(folder, home=home, command=(*COMMAND, "classroom", "--name", "Benchmark"), STILLHOUSE_PASSWORD="copper kettle"):
        os.environ["STILLHOUSE_HOME"] = str(home)
        room, store = ClassStore(next((home / "classes").glob("*.sqlite")).stem), Store(home / "store.sqlite")
        room.change(own_seeds=True, lesson=LESSON)
        lesson = lessons.lesson(LESSON)
        began = time.time()
        for number in range(count):
            who = room.join(f"participant {number}", room.code)
            queue.submit(room, who.id, LESSON, RECIPE, experiments.of_lesson(lesson, RECIPE))
        firsts: dict[str, float] = {}
        while time.time() - began < WAIT:
            runs = queue.class_runs(room, store)
            for run in runs:
                if run.id not in firsts and "loss" in store.latest_metrics(run.id).get("student", {}):
                    firsts[run.id] = time.time() - began
            if not room.items(state="waiting") and all(run.finished for run in runs) and len(runs) >= count:
                break
            time.sleep(0.25)
        seconds = time.time() - began
    end_runs(home)
    return seconds, sorted(firsts.values())


def first_tokens(count: int = AT_ONCE) -> list[float]:
    """Seconds from the prompt to the first piece of each of `count` answers that are requested at once, the model loaded before."""
    client.engine().info(MODEL)
    waits: list[float] = []

    def prompt(seed: int) -> None:
        began = time.perf_counter()
        for message in client.engine().generate(MODEL, [{"role": "user", "content": PROMPT}], max_new_tokens=TOKENS, seed=seed,
                                                sampling_temperature=0.7):
            if not isinstance(message, Loaded):
                waits.append(time.perf_counter() - began)
                break

    threads = [threading.Thread(target=prompt, args=(seed,)) for seed in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client.close()
    return sorted(waits)


def figures(count: int = PARTICIPANTS) -> list[Figure]:
    """The class's rows of the table."""
    waits = first_tokens()
    with tempfile.TemporaryDirectory() as folder:
        seconds, firsts = served(Path(folder), count)
    load = f"load {os.getloadavg()[0]:.1f}"
    middle = statistics.median(firsts) if firsts else float("inf")
    return [Figure(f"{AT_ONCE} prompts at once: first token, the last of them", waits[-1], "s", "< 3 s", waits[-1] < 3,
                   f"median {statistics.median(waits):.2f} s, {load}"),
            Figure(f"{count} micro runs submitted at once: all have ended", seconds / 60, "min", "< 10 min", seconds < 600,
                   f"{len(firsts)} had a first loss, the median after {middle:.0f} s, {load}")]


if __name__ == "__main__":
    print(*figures(int(sys.argv[1]) if len(sys.argv) > 1 else PARTICIPANTS), sep="\n")
