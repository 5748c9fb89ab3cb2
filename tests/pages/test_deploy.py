"""The Deploy page: nothing compared, running, stopped, failed, finished; its limits, and what its button starts."""

from __future__ import annotations

import io
import time
import zipfile
from pathlib import Path

import pytest

from core.reports.deployment import store as deployments
from core.reports.deployment.record import DeploymentRequest
from tests.core.masked_models import classifier, save
from tests.core.reports.deployment.examples import deployment
from tests.pages.conftest import Open, button, fault_free, texts
from tests.pages.examples import GONE, finished
from workbench.errors import StudyError
from workbench.processes import Process
from workbench.screens.deploy import form, result_view
from workbench.store import Store
from workbench.studies import background
from workbench.studies.jobs import DeploymentJob, JobState


@pytest.fixture
def request_made(tmp_path: Path) -> DeploymentRequest:
    return DeploymentRequest(str(save(classifier(), tmp_path / "it")), None, ("it", None))


def with_state(request: DeploymentRequest, state: str, process: Process = GONE, **details: object) -> Path:
    folder = deployments.save_request(request)
    DeploymentJob(folder).save_state(JobState(state, process, time.time(), **details))
    return folder


def tables(page) -> str:
    return "\n".join(str(each.proto.body) for each in page.get("html"))


def test_empty(open_page: Open) -> None:
    page = open_page("deploy")
    assert "Nothing compared yet" in texts(page) and button(page, "Measure")


def test_a_finished_comparison_is_judged_by_limits_that_the_address_keeps(open_page: Open, request_made: DeploymentRequest) -> None:
    folder = with_state(request_made, "finished")
    deployments.save_result(folder, deployment())
    page = open_page("deploy", loss="5", mb="10", ms="none")
    said, drawn = texts(page), tables(page)
    assert "keeps every limit" in said and "repeat a text" in page.warning[0].value
    assert "1 points (" in drawn and "at most 5 points" in drawn and "Latency, 95th" not in drawn and "6 MB" in drawn
    assert "A &lt;b&gt;fine&lt;/b&gt; film." in drawn and "positive" in drawn and "3 to 9 words" in drawn
    assert page.query_params["result"] == folder.name
    page = fault_free(page.number_input(key="deploy.mb").set_value(5.0).run())
    assert "breaks a limit: size" in texts(page) and page.query_params["mb"] == "5"
    page.number_input(key="deploy.mb").set_value(10.0)
    page = fault_free(page.number_input(key="deploy.loss").set_value(1.0).run())
    assert "straddles it: accuracy lost" in texts(page)


def test_a_running_one_can_be_stopped_and_what_ended_it_is_said(open_page: Open, request_made: DeploymentRequest) -> None:
    folder = with_state(request_made, "running", Process.current(), done=40, total=100, text="Scoring the teacher")
    page = open_page("deploy")
    assert button(page, "Measure").disabled
    fault_free(button(page, "Stop").click().run())
    assert DeploymentJob(folder).stop_file.exists()
    with_state(request_made, "failed", message="The disk is full.", hint="Free some space.")
    assert "The disk is full." in texts(open_page("deploy"))
    with_state(request_made, "running")
    assert "measure again" in texts(open_page("deploy"))


def test_the_button_starts_what_the_form_shows(open_page: Open, store: Store, request_made: DeploymentRequest,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[DeploymentRequest] = []

    def start(request: DeploymentRequest) -> DeploymentJob:
        started.append(request)
        return DeploymentJob(deployments.save_request(request))

    monkeypatch.setattr(background, "start_deployment", start)
    page = open_page("deploy", student=request_made.student)
    assert page.selectbox(key="deploy.student").value == request_made.student
    page.number_input(key="deploy.items.True").set_value(50)
    fault_free(button(page, "Measure").click().run())
    assert started == [DeploymentRequest(request_made.student, None, (request_made.student, None), None, None, 50)]

    def busy(request: DeploymentRequest) -> DeploymentJob:
        raise StudyError("The check of C1 runs.", "One runs at a time.", "Wait for it.")

    monkeypatch.setattr(background, "start_deployment", busy)
    page = open_page("deploy", student=request_made.student)
    assert "The check of C1 runs" in fault_free(button(page, "Measure").click().run()).error[0].value


def test_the_teacher_of_a_run_is_the_one_that_it_was_distilled_from(store: Store) -> None:
    run = finished(store, teacher={"model": "house-chat"})
    assert form.teacher_of(run.name) == form.teacher_of(f"{run.name}:control") == "house-chat" and form.teacher_of("nobody") is None


def test_what_is_taken_home(tmp_path: Path) -> None:
    (tmp_path / "int8").mkdir()
    (tmp_path / "int8" / "model.int8.onnx").write_bytes(b"weights")
    with zipfile.ZipFile(io.BytesIO(result_view.zipped(tmp_path / "int8"))) as archive:
        assert archive.namelist() == ["model.int8.onnx"] and archive.read("model.int8.onnx") == b"weights"
    assert 'InferenceSession("model.int8.onnx")' in result_view.snippet(deployment())
