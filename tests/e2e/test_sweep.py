"""A sweep of two keys, two values each and two seeds, from the form to its table, with runs that really train."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from scipy import stats

from core.recipes import parse_recipe
from tests.app_process import AppProcess
from tests.core.chat_models import save_chat_model
from tests.e2e.conftest import settled
from workbench.processes import Process
from workbench.runs.worker import run_worker
from workbench.store import Store
from workbench.store.records import Run
from workbench.terminal import cli

TEMPERATURES, DEPTHS, SEEDS = ("1", "4"), ("1", "2"), (42, 43)
RUNS = len(TEMPERATURES) * len(DEPTHS) * len(SEEDS)


def fill(page: Page, label: str, text: str) -> None:
    box = page.locator(f'input[aria-label="{label}"]')
    box.fill(text)
    box.press("Enter")
    settled(page)


def by_hand(name: str, capsys: pytest.CaptureFixture[str]) -> tuple[str, str, float]:
    """Temperature, depth and perplexity of a run, from what the command line prints of it."""
    assert cli.main(["show", name, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["status"] == "finished", document["message"]
    config, report = document["config"], document["report"]
    return f"{config['losses']['temperature']:g}", str(config["student"]["layers"]), report["metrics"]["student_after"]["perplexity"]


def held(store: Store) -> Run:
    """A run of this process that keeps the processor, so that the app's queue waits."""
    run = store.create_run(parse_recipe({"name": "ahead", "train": {"device": "cpu"}}), device="cpu")
    assert store.mark_running(run.id, Process.current())
    return run


def train(store: Store) -> None:
    """Train what is queued in this process, which has imported the libraries already: eight processes would do so once each."""
    for run in store.queue():
        assert store.claim(run.id, "cpu")
        outcome = run_worker(run.id, store)
        assert outcome.run.status == "finished", outcome.run.message


def test_a_sweep_is_planned_trained_and_compared(server: AppProcess, page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(server.home / "store.sqlite")
    teacher = save_chat_model(tmp_path / "teacher", layers=3)
    start = store.create_run(parse_recipe({
        "name": "swept", "teacher": {"model": str(teacher)}, "student": {"layers": 1},
        "data": {"max_rows": 60, "block_length": 16}, "train": {"max_steps": 2, "per_device_train_batch_size": 2, "device": "cpu"},
        "evaluation": {"eval_steps": 2, "min_evaluations": 1, "blocks": 2, "sentiment_items": 0, "prompts": []}}), device="cuda:7")
    store.finish(start.id, "stopped")  # never trained: its recipe is what the sweep begins with
    monkeypatch.setenv("STILLHOUSE_HOME", str(server.home))
    ahead = held(store)
    page.goto(f"{server.url}/sweep?from={start.id}")
    settled(page)
    page.get_by_role("combobox", name="Keys").fill("student.layers")
    page.get_by_role("option", name="Student depth (student.layers)").click()
    settled(page)
    page.keyboard.press("Escape")
    fill(page, "Temperature T (losses.temperature)", ", ".join(TEMPERATURES))
    fill(page, "Student depth (student.layers)", ",".join(DEPTHS))
    fill(page, "Seeds", str(len(SEEDS)))
    expect(page.get_by_test_id("stMetric").filter(has_text="Runs")).to_contain_text(str(RUNS))
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("heading", name="swept-sweep")).to_be_visible()
    expect(page.get_by_text(f"0 of {RUNS} runs finished, {RUNS} queued")).to_be_visible()
    train(store)
    store.finish(ahead.id, "stopped")
    expect(page.get_by_text(f"{RUNS} of {RUNS} runs finished")).to_be_visible()
    settled(page)

    members = [each.run.name for each in store.sweep_runs(store.sweep("swept-sweep").id)]
    assert len(members) == RUNS
    values: dict[tuple[str, str], list[float]] = {}
    for name in members:
        temperature, depth, perplexity = by_hand(name, capsys)
        values.setdefault((temperature, depth), []).append(perplexity)
    assert set(values) == {(t, d) for t in TEMPERATURES for d in DEPTHS}

    rows = page.get_by_role("table", name="Settings of swept-sweep, best first").locator("tbody tr").all()
    shown = [[cell.inner_text() for cell in row.locator("td").all()] for row in rows]
    assert [tuple(row[1:3]) for row in shown] == sorted(values, key=lambda each: statistics.fmean(values[each]))
    for _, temperature, depth, seeds, perplexity, *_ in shown:
        own = values[temperature, depth]
        margin = stats.t.ppf(0.975, len(own) - 1) * statistics.stdev(own) / math.sqrt(len(own))
        assert seeds == f"{len(SEEDS)} of {len(SEEDS)}"
        assert perplexity.split() == [f"{statistics.fmean(own):.4g}", "±", f"{margin:.2g}"]
    expect(page.get_by_text("6 pairs were compared")).to_be_visible()
    expect(page.get_by_role("figure")).to_be_visible()
