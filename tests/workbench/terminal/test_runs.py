"""The verbs that list and change runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.waiting import wait_until
from workbench.store import Store
from workbench.terminal import cli

pytestmark = pytest.mark.usefixtures("fake_engine")


def test_runs_show_delete_restore(recipe: Callable[..., str], run_json: Callable[..., tuple[int, Any]], capsys: pytest.CaptureFixture[str]):
    assert run_json("runs") == (0, [])
    run_id = run_json("distill", recipe(3))[1]["run_id"]
    assert [run["run_id"] for run in run_json("runs")[1]] == [run_id]
    code, shown = run_json("show", run_id[:-1])
    assert (code, shown["config"]["train"]["max_steps"], shown["latest_metrics"]["student"]["loss"]) == (0, 3, 1 / 3)
    assert shown["report"]["stopped"] is False
    assert cli.main(["show", "a-walk"]) == 0
    assert "python -m workbench distill" in capsys.readouterr().out
    assert cli.main(["runs"]) == 0
    assert "3/3" in capsys.readouterr().out
    assert run_json("delete", "a-walk")[0] == 0
    assert run_json("runs")[1] == []
    assert len(run_json("runs", "--deleted")[1]) == 1
    code, document = run_json("delete", "a-walk")
    assert code == 2 and "in the bin already" in document["error"]["given"] and "--purge" in document["error"]["fix"]
    assert run_json("restore", "a-walk")[1]["deleted"] is None
    code, document = run_json("restore", "a-walk")
    assert code == 2 and document["error"]["given"] == "The run 'a-walk' is not in the bin."
    assert run_json("delete", "a-walk", "--purge")[1]["purged"]
    assert run_json("show", "a-walk")[0] == 2


def test_a_run_of_the_bin_is_removed_for_good(recipe: Callable[..., str], run_json: Callable[..., tuple[int, Any]]):
    run_json("distill", recipe(1))
    run_json("delete", "a-walk")
    assert run_json("delete", "a-walk", "--purge")[1]["purged"]
    assert run_json("runs", "--deleted")[1] == []


def test_deleting_a_running_run_asks_to_stop_it(recipe: Callable[..., str], run_json: Callable[..., tuple[int, Any]]):
    run_json("submit", recipe(5000, wait_at=1))
    code, document = run_json("delete", "a-walk")
    assert code == 2
    assert "workbench stop a-walk" in document["error"]["fix"]
    run_json("stop", "a-walk", "--force")


def test_a_lost_run_is_shown_as_lost_and_resumed(recipe: Callable[..., str], run_json: Callable[..., tuple[int, Any]]):
    run_json("submit", recipe(5000, wait_at=1))
    store = Store()
    wait_until(lambda: store.run("a-walk").status == "running")
    store.run("a-walk").process.kill()
    assert run_json("runs")[1][0]["status"] == "lost"
    assert run_json("resume", "a-walk")[1]["status"] == "starting"
    run_json("stop", "a-walk", "--force")
