"""Ablations in processes of their own: what their file says at each end."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core import ablation_results
from core.config import ExperimentConfig, parse_recipe
from workbench.checks import ablations, work
from workbench.checks.ablations import Trial
from workbench.errors import CheckError
from workbench.processes import Process


@pytest.fixture(autouse=True)
def _fakes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(ablations, "WORKER", (sys.executable, "-m", "tests.workbench.checks.fake_ablation_worker"))
    yield
    for trial in filter(None, map(ablations.latest, ablation_results.folders())):
        trial.process.kill()


def recipe(name: str) -> ExperimentConfig:
    return parse_recipe({"name": name, "student": {"init": "random"}})


def wait_for(folder: Path, holds: Callable[[Trial], bool], seconds: float = 60) -> Trial:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        trial = ablations.latest(folder)
        if trial is not None and holds(trial):
            return trial
        time.sleep(0.05)
    raise AssertionError(f"{trial}\n{work.log_tail(folder)}")


def ended(trial: Trial) -> bool:
    return trial.state != "running"


def test_it_ends_with_a_result() -> None:
    folder = ablations.start(recipe("short"), 2, "the command")
    trial = wait_for(folder, ended)
    assert (trial.state, trial.done, trial.total, trial.message) == ("finished", 6, 6, "")
    found = ablation_results.result_of(folder)
    assert found.seeds == (42, 43) and found.parts == ("minus_kd", "minus_hard")
    assert "without soft targets, seed 42" in work.log_tail(folder) and ablation_results.command_of(folder) == "the command"


def test_a_stop_is_heard_and_it_goes_on() -> None:
    folder = ablations.start(recipe("endless"), 1)
    wait_for(folder, lambda trial: "step" in trial.text)
    with pytest.raises(CheckError, match="endless"):
        ablations.start(recipe("short"), 1)
    ablations.stop(folder)
    trial = wait_for(folder, ended)
    assert trial.state == "stopped" and "kept" in trial.hint and not ablations.stopping(folder)
    assert ablations.running() is None


@pytest.mark.skipif(sys.platform == "win32", reason="no such signal")
def test_a_signal_is_a_stop() -> None:
    folder = ablations.start(recipe("endless"), 1)
    trial = wait_for(folder, lambda trial: "step" in trial.text)
    os.kill(trial.process.pid, signal.SIGTERM)
    assert wait_for(folder, ended).state == "stopped"


def test_a_failure_is_told_with_its_log() -> None:
    folder = ablations.start(recipe("broken"), 1)
    trial = wait_for(folder, ended)
    assert trial.state == "failed" and "The loss became NaN." in trial.message and trial.hint == "Lower the rate."
    assert "Traceback" in work.log_tail(folder)


def test_a_process_that_vanishes_is_lost() -> None:
    folder = ablations.start(recipe("endless"), 1)
    trial = wait_for(folder, lambda trial: "step" in trial.text)
    trial.process.kill()
    assert wait_for(folder, ended).state == "lost"


def test_a_check_that_runs_is_not_slowed_down(monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.checks import background
    from workbench.checks.background import Check

    monkeypatch.setattr(background, "running", lambda: Check("C1", "running", Process.current(), time.time()))
    with pytest.raises(CheckError, match="C1"):
        ablations.start(recipe("short"), 1)
    assert ablation_results.folders() == []


def test_a_folder_that_says_nothing_fails_readably(tmp_path: Path) -> None:
    from workbench.checks import ablation_worker

    assert ablation_worker.main([str(tmp_path)]) == 1
    assert "does not say what is to be done" in ablations.latest(tmp_path).message
