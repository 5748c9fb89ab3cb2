"""The verbs of sweeps: what they queue, print and refuse."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from core.evaluation.statistics import mean_interval
from tests.workbench.runs.test_sweeps import finish
from workbench.runs import jobs
from workbench.store import Store
from workbench.terminal import cli

RunJson = Callable[..., tuple[int, Any]]
GRID = ("--grid", "train.max_steps=2,4", "--grid", "losses.w_hard=1,2")


@pytest.fixture(autouse=True)
def no_worker(fake_engine: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "launch_next", lambda store: [])
    monkeypatch.setattr("core.planning.plan.plan", lambda config, measure: SimpleNamespace(checks=(), seconds=10.0))


def test_a_dry_run_says_how_many_and_how_long_and_queues_nothing(recipe: Callable[..., str], run_json: RunJson) -> None:
    code, document = run_json("sweep", recipe(3), *GRID, "--seeds", "3", "--dry-run")
    assert code == 0
    assert (document["settings"], document["seeds"], document["runs"], document["started"]) == (4, [42, 43, 44], 12, False)
    assert document["seconds"] == pytest.approx(3 * (2 * 10 + 2 * 20 + 4 * 8))
    assert document["time_from"] == "measured"
    assert Store().runs() == []


def test_a_sweep_is_queued_shown_and_taken_away(recipe: Callable[..., str], run_json: RunJson, capsys: pytest.CaptureFixture[str]) -> None:
    code, document = run_json("sweep", recipe(3), *GRID, "--seeds", "2", "--no-measure", "--name", "steps")
    assert code == 0
    store = Store()
    assert [run.id for run in reversed(store.runs())] == sorted(document["run_ids"], key=lambda each: store.run(each).created)
    assert "--grid train.max_steps=2,4 --grid losses.w_hard=1,2 --seeds 2 --name steps" in document["command"]
    assert cli.main(["sweeps", "show", "steps"]) == 0
    assert "No run has been measured yet." in capsys.readouterr().out
    values = {(cell, seed): 10.0 * cell + 0.1 * seed for cell in (1, 2, 3, 4) for seed in (42, 43)}
    for each in store.sweep_runs(store.sweep("steps").id):
        finish(store, each.run, perplexity=values[each.cell, each.run.seed], agreement=0.5)
    code, shown = run_json("sweeps", "show", "steps")
    assert (code, shown["status"], shown["metric"]) == (0, "finished", "perplexity")
    first = shown["cells"][0]
    assert first["values"] == {"train.max_steps": "2", "losses.w_hard": "1"}
    assert first["by_seed"]["perplexity"] == {"42": values[1, 42], "43": values[1, 43]}
    mean = mean_interval([values[1, 42], values[1, 43]])
    assert [first["metrics"]["perplexity"][key] for key in ("mean", "low", "high", "n")] == [mean.value, mean.low, mean.high, 2]
    assert (shown["best"]["cell"], shown["best"]["comparisons"], shown["best"]["alike"]) == (1, 6, [])
    assert run_json("sweeps", "show", "steps", "--metric", "agreement")[1]["metric"] == "agreement"
    assert cli.main(["sweeps", "show", "steps"]) == 0
    text = capsys.readouterr().out
    assert "6 pairs were compared" in text
    assert "14.25 ± " in text
    assert "measured: perplexity, agreement" in run_json("sweeps", "show", "steps", "--metric", "loss")[1]["error"]["expected"]

    assert [each["name"] for each in run_json("sweeps", "list")[1]] == ["steps"]
    assert run_json("sweeps", "delete", "steps")[1]["deleted"] is not None
    assert (run_json("sweeps", "list")[1], run_json("runs")[1]) == ([], [])
    assert run_json("sweeps", "restore", "steps")[1]["deleted"] is None
    assert len(run_json("runs")[1]) == 8
    assert run_json("sweeps", "delete", "steps", "--purge")[1]["purged"]
    assert run_json("sweeps", "list", "--deleted")[1] == []


def test_all_runs_stop_and_resume(recipe: Callable[..., str], run_json: RunJson) -> None:
    run_json("sweep", recipe(3), "--seeds", "2", "--no-measure")
    name = run_json("sweeps", "list")[1][0]["name"]
    code, refused = run_json("sweeps", "delete", name)
    assert (code, refused["error"]["fix"]) == (2, "Stop all its runs first.")
    assert run_json("sweeps", "stop", name)[1]["counts"] == {"stopped": 2}
    assert run_json("sweeps", "retry", name)[0] == 2
    assert run_json("sweeps", "resume", name)[1]["counts"] == {"queued": 2}


@pytest.mark.parametrize(("words", "said"), [
    (["--grid", "losses.w_hart=1,2"], "Unknown key 'losses.w_hart'"),
    (["--grid", "train.max_steps=2,0"], "1 of 2 settings cannot be trained. train.max_steps=0"),
    (["--seeds", "0"], "0 seeds were requested"),
    (["--grid", "train.max_steps=1..5"], "is a range"),
    (["--name", "no/name"], 'name was given as "no/name"'),
])
def test_what_cannot_be_swept_is_refused_and_nothing_is_queued(words: list[str], said: str, recipe: Callable[..., str],
                                                              run_json: RunJson) -> None:
    code, document = run_json("sweep", recipe(3), *words, "--no-measure")
    assert code == 2
    assert said in document["error"]["given"]
    assert (Store().runs(), Store().sweeps()) == ([], [])


def test_a_measured_setting_that_fails_its_checks_starts_nothing(recipe: Callable[..., str], run_json: RunJson,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    check = SimpleNamespace(ok=False, message="The text is too short.", fix="Bring more.", field="data.source", suggestion=None)
    monkeypatch.setattr("core.planning.plan.plan", lambda config, measure: SimpleNamespace(checks=(check,), seconds=None))
    code, document = run_json("sweep", recipe(3))
    assert (code, document["error"]["given"]) == (2, "The text is too short.")
    assert Store().runs() == []


def test_random_search_and_left_out_settings(recipe: Callable[..., str], run_json: RunJson) -> None:
    code, document = run_json("sweep", recipe(3), "--grid", "train.learning_rate=1e-4..1e-2:log", "--random", "4", "--seeds", "1",
                              "--no-measure", "--dry-run")
    assert (code, document["settings"]) == (0, 4)
    code, document = run_json("sweep", recipe(3), "--grid", "train.max_steps=2,0", "--skip-invalid", "--no-measure", "--dry-run")
    assert (code, document["settings"], document["left_out"][0]["cell"]) == (0, 1, "train.max_steps=0")


def test_a_name_is_required_and_must_be_known(run_json: RunJson) -> None:
    assert "needs the name" in run_json("sweeps", "show")[1]["error"]["given"]
    code, document = run_json("sweeps", "stop", "nothing")
    assert (code, document["error"]["fix"]) == (2, "See the list of sweeps: python -m workbench sweeps list")


def test_a_sweep_may_run_on_a_cluster(recipe: Callable[..., str], run_json: RunJson) -> None:
    words = ("--seeds", "2", "--no-measure", "--launch", "partition=gpu")
    code, document = run_json("sweep", recipe(3), *words)
    assert code == 2 and document["error"]["fix"] == "Add --launcher slurm."
    code, document = run_json("sweep", recipe(3), *words, "--launcher", "slurm", "--dry-run")
    assert code == 0 and not document["started"] and not Store().runs()
