"""The page of a run that is training, in a real browser: what the feed brings, without a rerun of the script."""

from __future__ import annotations

import json
import re

from playwright.sync_api import Page, expect

from tests.app_process import AppProcess
from tests.e2e.conftest import settled
from tests.pages import examples
from workbench.processes import Process
from workbench.store import Store
from workbench.store.records import Progress, Run

LOSS = "[aria-label='Loss terms over the steps']"
LAST_STEP = f"() => {{ const x = document.querySelector(\"{LOSS}\")?._fullData?.[0]?.x ?? []; return x[x.length - 1] ?? 0; }}"


def log_steps(store: Store, run: Run, steps: range) -> None:
    """Log as a worker does; this process stands for it."""
    rows = [("student", step, name, value) for step in steps for name, value in
            {"loss": 3.5, "loss/kd": 1.5, "loss/hard": 2.0, "learning_rate": 1e-4, "tokens_per_second": 1000.0 + step}.items()]
    store.record(run.id, Process.current(), rows, [], Progress("steps", "student", steps[-1], examples.STEPS))


def test_a_page_follows_its_run_to_the_end(server: AppProcess, page: Page) -> None:
    store = Store(server.home / "store.sqlite")
    run = examples.running(store, "watched")
    sent: list[str] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: sent.append(frame) if isinstance(frame, str) else None))
    hosts = set()
    page.on("request", lambda request: hosts.add(request.url.split("/")[2].partition(":")[0]))
    page.goto(f"{server.url}/run?run={run.id}")
    settled(page)
    page.wait_for_function(f"() => ({LAST_STEP})() === 200")
    page.locator(LOSS).evaluate("figure => { figure.mark = 'the same node'; }")

    area = page.locator(f"{LOSS} .nsewdrag").first
    box = area.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.5, steps=5)
    page.mouse.up()
    page.wait_for_function(f"() => document.querySelector(\"{LOSS}\").layout.xaxis.autorange === false")
    zoomed = page.locator(LOSS).evaluate("figure => figure.layout.xaxis.range.slice()")

    log_steps(store, run, range(201, 206))
    page.wait_for_function(f"() => ({LAST_STEP})() === 205")
    expect(page.get_by_text("step 205 of 400")).to_be_visible()
    expect(page.get_by_text("At the last step: 1.5 soft targets + 2 hard labels = 3.5.")).to_be_visible()
    expect(page.get_by_test_id("stMetricValue").filter(has_text="1,205")).to_be_visible()
    assert page.locator(LOSS).evaluate("figure => figure.layout.xaxis.range.slice()") == zoomed
    assert any("tails" in news for frame in sent for news in json.loads(frame).values()), "only the new points were sent"

    # A change of theme draws the figure again, with what the feed brought.
    page.emulate_media(color_scheme="dark")
    expect(page.locator(f"{LOSS} .xtick text").first).to_have_css("fill", "rgb(228, 233, 233)")
    assert page.evaluate(LAST_STEP) == 205
    log_steps(store, run, range(206, 208))
    page.wait_for_function(f"() => ({LAST_STEP})() === 207")
    assert page.locator(LOSS).evaluate("figure => figure.mark") == "the same node"

    store.finish(run.id, "finished")
    expect(page.get_by_text(re.compile("ended (just now|.* ago)"))).to_be_visible()
    expect(page.get_by_role("button", name="Stop")).to_have_count(0)
    expect(page.locator("[data-testid=stException]")).to_have_count(0)
    assert hosts == {"127.0.0.1"}
    page.emulate_media(color_scheme="light")


def test_figures_come_with_the_first_step(server: AppProcess, page: Page) -> None:
    store = Store(server.home / "store.sqlite")
    run = store.create_run(examples.config("early"))
    store.claim(run.id, "cpu")
    store.mark_running(run.id, Process.current())
    page.goto(f"{server.url}/run?run={run.id}")
    settled(page)
    expect(page.get_by_text("No step has been logged yet.")).to_be_visible()
    log_steps(store, run, range(1, 4))
    page.wait_for_function(f"() => ({LAST_STEP})() === 3")
    store.finish(run.id, "stopped", "Stopped at step 3.")
    expect(page.get_by_text("Stopped at step 3.")).to_be_visible()
