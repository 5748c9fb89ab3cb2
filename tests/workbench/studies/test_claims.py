"""Checks of claims in processes of their own: the state at each end."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from core.studies.claims import outcomes, registry
from core.studies.seeds import DEFAULT_SEEDS
from core.system.files import write_json
from tests.core.studies.claims.fake_claims import fake, put_in_place
from tests.workbench.studies.waiting import FAKE_WORKER, ended, training, wait_for
from workbench.errors import StudyError
from workbench.processes import Process
from workbench.studies import background
from workbench.studies.jobs import AblationJob, ClaimJob, JobState
from workbench.studies.worker import JobRecorder

NAMES = ("X1", "ENDLESS", "BROKEN", "KILLED")


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(background, "WORKER", (sys.executable, "-m", FAKE_WORKER))
    put_in_place(monkeypatch, *map(fake, NAMES))
    yield
    for state in filter(None, (ClaimJob.of(name).load_state() for name in NAMES)):
        state.process.kill()


def test_a_check_ends_with_an_outcome() -> None:
    background.start_claim("X1", seeds=4)
    state = wait_for(ClaimJob.of("X1"), ended)
    assert (state.state, state.done, state.total, state.message) == ("finished", 4, 4, "")
    outcome, place = outcomes.latest(registry.find("X1"))
    assert (outcome.verdict, outcome.seeds, place) == ("pass", (42, 43, 44, 45), "here")
    assert "Walk" in ClaimJob.of("X1").log_tail()


def test_the_total_is_known_from_the_first_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = []
    monkeypatch.setattr(ClaimJob, "save_state", lambda job, state: saved.append((state.state, state.done, state.total)))
    JobRecorder(ClaimJob(tmp_path), ClaimJob(tmp_path).parts(4))
    assert saved == [("running", 0, 4)]


def test_a_check_reports_progress_and_stops_on_request() -> None:
    job = ClaimJob.of("ENDLESS")
    background.start_claim("ENDLESS")
    state = wait_for(job, training)
    assert state.text.startswith("Walk: step ") and (state.done, state.total) == (0, DEFAULT_SEEDS)
    assert not job.stop_file.exists()
    job.stop_file.touch()
    state = wait_for(job, ended)
    assert state.state == "stopped" and "Finished seeds are kept" in state.hint
    assert not job.stop_file.exists()


def test_the_signal_that_ends_processes_stops_it_too() -> None:
    background.start_claim("ENDLESS")
    state = wait_for(ClaimJob.of("ENDLESS"), training)
    os.kill(state.process.pid, signal.SIGTERM)
    assert wait_for(ClaimJob.of("ENDLESS"), ended).state == "stopped"


def test_one_check_runs_at_a_time() -> None:
    background.start_claim("ENDLESS")
    with pytest.raises(StudyError, match="ENDLESS is being checked"):
        background.start_claim("X1")
    assert background.running_job() == "ENDLESS is being checked"
    assert ClaimJob.of("X1").load_state() is None


def test_a_check_waits_for_an_ablation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    job = AblationJob(tmp_path / "distilbert-1")
    job.save_state(JobState("running", Process.current(), time.time()))
    monkeypatch.setattr("workbench.studies.jobs.results.folders", lambda: [job.folder])
    with pytest.raises(StudyError, match="The ablation distilbert-1 is running"):
        background.start_claim("X1")
    assert ClaimJob.of("X1").load_state() is None


def test_a_failure_is_reported_and_its_log_kept() -> None:
    job = ClaimJob.of("BROKEN")
    background.start_claim("BROKEN")
    state = wait_for(job, ended)
    assert state.state == "failed" and "stumbled" in state.message
    assert "FloatingPointError: stumbled" in job.log_tail()
    background.start_claim("X1")  # and the next one may begin
    assert wait_for(ClaimJob.of("X1"), ended).state == "finished"


def test_a_process_that_vanished_is_lost() -> None:
    background.start_claim("KILLED")
    assert wait_for(ClaimJob.of("KILLED"), ended).state == "lost"
    job = ClaimJob.of("X1")
    job.save_state(JobState("running", replace(Process.current(), started=-1.0), time.time()))
    assert job.load_state().state == "lost" and background.running_job() is None


def test_a_process_that_cannot_be_started_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "WORKER", ("/no/such/program",))
    with pytest.raises(StudyError, match="could not be started"):
        background.start_claim("X1")
    assert ClaimJob.of("X1").load_state() is None


def test_the_state_that_an_earlier_release_saved_is_read() -> None:
    """It named the claim, and called the total ``seeds``."""
    write_json(outcomes.folder("X1") / "check.json", {
        "claim": "X1", "state": "stopped", "process": {"pid": 7, "started": 1.0, "boot_id": "an earlier one"}, "began": 12.5,
        "done": 2, "seeds": 5, "text": "", "message": "Stopped.", "hint": "Check again."})
    assert ClaimJob.of("X1").load_state() == JobState("stopped", Process(7, 1.0, "an earlier one"), 12.5, 2, 5, "", "Stopped.",
                                                      "Check again.")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"state": "running", "process": {}}', '{"process": 3}'])
def test_a_state_that_cannot_be_read_is_none(content: str) -> None:
    outcomes.folder("X1").mkdir(parents=True)
    (outcomes.folder("X1") / "check.json").write_text(content)
    assert ClaimJob.of("X1").load_state() is None


def test_of_two_apps_that_start_a_check_at_once_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other looks while this one has looked and started nothing yet."""
    launch, said = background._launch, []

    def slowly(job: ClaimJob, seeds: int) -> None:
        def other() -> None:
            try:
                background.start_claim("BROKEN")
            except StudyError as error:
                said.append(str(error))

        monkeypatch.setattr(background, "_launch", launch)
        thread = threading.Thread(target=other)
        thread.start()
        launch(job, seeds)
        threads.append(thread)

    threads: list[threading.Thread] = []
    monkeypatch.setattr(background, "_launch", slowly)
    background.start_claim("ENDLESS")
    threads[0].join()
    assert len(said) == 1 and "ENDLESS is being checked" in said[0] and ClaimJob.of("BROKEN").load_state() is None
