"""The app: how soon its first page stands, and what a refresh of a live page costs the server."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright
from streamlit.testing.v1 import AppTest

from tests.app_process import running_app
from tests.benchmarks.table import ROOT, Figure
from tests.e2e.conftest import ARGUMENTS, find_browser, settled
from tests.pages import examples
from workbench.processes import Process
from workbench.store import Store

STEPS, REFRESHES, STARTS = 10_000, 9, 3


def start_seconds(folder: Path) -> tuple[float, float]:
    """Seconds from the command until the server answers, and until a browser that waits shows the first page."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch_persistent_context(str(folder / "profile"), executable_path=find_browser(), args=ARGUMENTS,
                                                                headless=True)
        page = browser.pages[0]
        began = time.perf_counter()
        with running_app(folder) as app:
            answered = time.perf_counter() - began
            page.goto(app.url)
            settled(page)
            shown = time.perf_counter() - began
        browser.close()
    return answered, shown


def refresh_milliseconds(home: Path, steps: int = STEPS) -> float:
    """Server time of one refresh of a run page whose curves have `steps`, one new step each time: the whole script, median."""
    os.environ["STILLHOUSE_HOME"] = str(home)
    store = Store()
    run = examples.running(store, steps=steps)
    page = AppTest.from_file(str(ROOT / "workbench" / "ui.py"), default_timeout=60).run()
    page.query_params["run"] = run.id
    page.switch_page("../pages/run.py").run()
    assert not page.exception, page.exception
    times = []
    for number in range(REFRESHES):
        rows = [("student", steps + number + 1, name, 1.0) for name in ("loss", "loss/kd", "loss/hard", "tokens_per_second")]
        store.record(run.id, Process.current(), rows, [], run.progress)
        began = time.perf_counter()
        page.run()
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


def figures() -> list[Figure]:
    """The app's rows of the table."""
    with tempfile.TemporaryDirectory() as folder:
        starts = [start_seconds(Path(folder) / str(number)) for number in range(STARTS)]
        refresh = refresh_milliseconds(Path(folder) / "home")
    answered, shown = (statistics.median(times) for times in zip(*starts, strict=True))
    return [
        Figure("app start to first page in a browser", shown, "s", "< 3 s", shown < 3, f"the server answers after {answered:.2f} s"),
        Figure("refresh of a live page, 10,000 steps a curve", refresh, "ms", "< 150 ms", refresh < 150, "server time of the whole page"),
    ]
