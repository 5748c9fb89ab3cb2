"""Ablations in processes of their own: the state at each end."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.config import ExperimentConfig
from core.recipes import parse_recipe
from core.studies.ablation import results
from core.studies.claims import registry
from core.system.files import write_json
from tests.workbench.studies.waiting import FAKE_WORKER, ended, training, wait_for
from workbench.errors import StudyError
from workbench.processes import Process
from workbench.studies import background, worker
from workbench.studies.jobs import AblationJob, ClaimJob, JobState


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(background, "WORKER", (sys.executable, "-m", FAKE_WORKER))
    yield
    for folder in results.folders():
        if (state := AblationJob(folder).load_state()) is not None:
            state.process.kill()


def recipe(name: str) -> ExperimentConfig:
    return parse_recipe({"name": name, "student": {"init": "random"}})


def test_it_ends_with_a_result() -> None:
    job = background.start_ablation(recipe("short"), 2, "the command")
    assert job.parts(2) == 6 and job.load_state().total == 6, "known before the first training begins"
    state = wait_for(job, ended)
    assert (state.state, state.done, state.total, state.message) == ("finished", 6, 6, "")
    found = results.result_of(job.folder)
    assert found.seeds == (42, 43) and found.parts == ("minus_kd", "minus_hard")
    assert "without soft targets, seed 42" in job.log_tail() and results.command_of(job.folder) == "the command"


def test_it_stops_on_request_and_can_be_resumed() -> None:
    job = background.start_ablation(recipe("endless"), 1)
    wait_for(job, training)
    with pytest.raises(StudyError, match="endless"):
        background.start_ablation(recipe("short"), 1)
    job.stop_file.touch()
    state = wait_for(job, ended)
    assert state.state == "stopped" and "kept" in state.hint and not job.stop_file.exists()
    assert background.running_job() is None


@pytest.mark.skipif(sys.platform == "win32", reason="no such signal")
def test_a_signal_is_a_stop() -> None:
    job = background.start_ablation(recipe("endless"), 1)
    state = wait_for(job, training)
    os.kill(state.process.pid, signal.SIGTERM)
    assert wait_for(job, ended).state == "stopped"


def test_a_failure_is_reported_with_its_log() -> None:
    job = background.start_ablation(recipe("broken"), 1)
    state = wait_for(job, ended)
    assert state.state == "failed" and "The loss became NaN." in state.message and state.hint == "Lower the rate."
    assert "Traceback" in job.log_tail()


def test_a_process_that_vanishes_is_lost() -> None:
    job = background.start_ablation(recipe("endless"), 1)
    wait_for(job, training).process.kill()
    assert wait_for(job, ended).state == "lost"


def test_an_ablation_waits_for_a_check() -> None:
    ClaimJob.of(next(iter(registry.CLAIMS))).save_state(JobState("running", Process.current(), time.time()))
    with pytest.raises(StudyError, match="is being checked"):
        background.start_ablation(recipe("short"), 1)
    assert results.folders() == []


def test_a_folder_without_a_recipe_fails_readably(tmp_path: Path) -> None:
    assert worker.main(["ablation", str(tmp_path), "3"]) == 1
    assert "holds no ablation" in AblationJob(tmp_path).load_state().message


def test_the_state_that_an_earlier_release_saved_is_read(tmp_path: Path) -> None:
    write_json(tmp_path / "state.json", {
        "state": "finished", "process": {"pid": 7, "started": 1.0, "boot_id": "an earlier one"}, "began": 12.5, "done": 6, "total": 6,
        "text": "", "message": "", "hint": ""})
    assert AblationJob(tmp_path).load_state() == JobState("finished", Process(7, 1.0, "an earlier one"), 12.5, 6, 6, "")
