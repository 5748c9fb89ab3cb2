"""Comparisons of a model's forms as background jobs: the worker's progress, result and stop."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.events import StudyPart
from core.recorder import stop_if_requested
from core.reports.deployment import measure, store
from core.reports.deployment.record import DeploymentRequest
from tests.core.masked_models import classifier, save
from tests.core.reports.deployment.examples import deployment
from workbench.errors import StudyError
from workbench.processes import Process
from workbench.studies import background, worker
from workbench.studies.jobs import DeploymentJob, JobState


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return store.save_request(DeploymentRequest(str(save(classifier(), tmp_path / "it")), None, ("it", None)))


def test_the_worker_keeps_the_result(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def measured(request, place, recorder):
        recorder.event(StudyPart("Scoring the student", 40, 100))
        seen.append(DeploymentJob(place).load_state())
        return deployment(student=request.names[0])

    monkeypatch.setattr(measure, "measure_deployment", measured)
    assert worker.main(["deployment", str(folder), "1"]) == 0
    assert (seen[0].done, seen[0].total, seen[0].text) == (40, 100, "Scoring the student")
    state = DeploymentJob(folder).load_state()
    assert (state.state, state.done) == ("finished", 100) and store.result_of(folder) == deployment()


def test_a_stop_keeps_what_there_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    DeploymentJob(folder).stop_file.touch()
    monkeypatch.setattr(measure, "measure_deployment", lambda request, place, recorder: stop_if_requested(recorder))
    assert worker.main(["deployment", str(folder), "1"]) == 0
    state = DeploymentJob(folder).load_state()
    assert state.state == "stopped" and "export is kept" in state.hint and store.result_of(folder) is None


def test_a_folder_without_a_request_fails_readably_and_one_runs_at_a_time(tmp_path: Path, folder: Path) -> None:
    assert worker.main(["deployment", str(tmp_path), "1"]) == 1
    assert "holds no comparison" in DeploymentJob(tmp_path).load_state().message
    DeploymentJob(folder).save_state(JobState("running", Process.current(), 0.0))
    with pytest.raises(StudyError, match="The comparison it-"):
        background.start_deployment(store.load_request(folder))
