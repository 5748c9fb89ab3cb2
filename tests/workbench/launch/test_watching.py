"""The process that watches a job: what it hands on, what it does about a stop, a lost job, and a cluster that is silent for a while."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import RunError
from core.events import Event, JobState, RunWarning
from core.recipes import parse_recipe
from core.recorder import ListRecorder
from core.reports.run_report import Report, RunReport, StudentSummary
from workbench.errors import LaunchError
from workbench.launch.job import Job
from workbench.launch.launcher import JobStatus, Progress, job_id_file
from workbench.launch.records import RecordsWriter
from workbench.launch.watching import watch

WAITING, RUNNING, OVER = JobStatus("waiting", "PENDING"), JobStatus("running", "RUNNING"), JobStatus("ended", "COMPLETED")
REPORT = RunReport("out", None, StudentSummary("student"), {}, None, 1.0, 2, 3.0, False, "command")


class Place:
    """A launcher whose jobs are in the states that it is given, one after the other; an error is raised."""

    outlives, poll, patience, copies, note = True, 0.0, 600.0, False, ""

    def __init__(self, *states: JobStatus | BaseException, report: Report | None = None) -> None:
        self.states: Iterator[JobStatus | BaseException] = iter(states)
        self.report, self.submitted, self.cancelled, self.fetched = report, list[Job](), list[str](), 0

    def submit(self, job: Job, on_progress: Progress) -> str:
        if self.copies:
            on_progress("Copying.")
        self.submitted.append(job)
        return "7"

    def sync(self, on_progress: Progress, *, ended: bool = False) -> str:
        self.fetched += ended
        return self.note if ended else ""

    def status(self, job_id: str) -> JobStatus:
        state = next(self.states)
        if isinstance(state, BaseException):
            raise state
        if state.state == "ended" and self.report is not None and self.submitted:
            RecordsWriter(self.submitted[0].folder).end(self.report)
        return state

    def cancel(self, job_id: str) -> None:
        self.cancelled.append(job_id)

    def log(self, job_id: str) -> str:
        return "the last words"


class Recorder(ListRecorder):
    def event(self, event: Event, at: float | None = None) -> None:
        super().event(event)


def watched(folder: Path, place: Place, recorder: Recorder) -> Report | None:
    config = parse_recipe({"name": "far"})
    return watch(config, recorder, folder, job=Job(folder, config, {}, "command"), launcher=place)


def test_a_job_is_submitted_and_its_report_returned(tmp_path: Path) -> None:
    place, recorder = Place(WAITING, RUNNING, RUNNING, OVER, report=REPORT), Recorder()
    place.copies = True
    assert watched(tmp_path, place, recorder) == REPORT
    assert [each.text for each in recorder.of(JobState)] == ["Copying.", "PENDING", "RUNNING", "COMPLETED"]
    assert place.fetched == 1 and not job_id_file(tmp_path).exists() and Job.read(tmp_path).config.name == "far"


def test_a_job_that_is_under_way_is_taken_up_again(tmp_path: Path) -> None:
    job = Job(tmp_path, parse_recipe({"name": "far"}), {}, "command")
    job.write()
    job_id_file(tmp_path).write_text("7")
    RecordsWriter(job.folder).log("student", 3, {"loss": 2.0})
    place, recorder = Place(RUNNING, RUNNING, JobStatus("ended", "CANCELLED", cancelled=True)), Recorder()
    assert watched(tmp_path, place, recorder) is None
    assert not place.submitted and recorder.series("student", "loss") == {3: 2.0}


@pytest.mark.parametrize(("stopped", "submitted"), [(False, 0), (True, 1)])
def test_a_job_that_ended_unseen_is_not_submitted_again_where_it_finished_the_run(stopped: bool, submitted: int, tmp_path: Path) -> None:
    job = Job(tmp_path, parse_recipe({"name": "far"}), {}, "command")
    job.write()
    job_id_file(tmp_path).write_text("7")
    writer = RecordsWriter(job.folder)
    writer.log("student", 3, {"loss": 2.0})
    writer.end(replace(REPORT, stopped=stopped))
    place, recorder = Place(OVER, OVER, report=REPORT if stopped else None), Recorder()
    assert watched(tmp_path, place, recorder) == REPORT
    assert len(place.submitted) == submitted and recorder.series("student", "loss") == {3: 2.0}


def test_a_stop_before_a_job_is_submitted_leaves_none(tmp_path: Path) -> None:
    place = Place()
    place.copies = True
    assert watched(tmp_path, place, Recorder(stop_after=0)) is None and not place.submitted


def test_what_the_user_should_know_of_a_folder_elsewhere_is_a_warning(tmp_path: Path) -> None:
    place, recorder = Place(OVER, report=REPORT), Recorder()
    place.note = "It is still there."
    assert watched(tmp_path, place, recorder) == REPORT
    assert [warning.message for warning in recorder.of(RunWarning)] == ["It is still there."]


def test_a_stop_cancels_a_job_that_waits_and_leaves_a_running_one_its_checkpoint(tmp_path: Path) -> None:
    place = Place(WAITING, JobStatus("ended", "CANCELLED", cancelled=True))
    assert watched(tmp_path / "waiting", place, Recorder(stop_after=0)) is None and place.cancelled == ["7"]
    place = Place(RUNNING, OVER, report=REPORT)
    assert watched(tmp_path / "running", place, Recorder(stop_after=0)) == REPORT and not place.cancelled
    assert (tmp_path / "running/ranks/stop").exists()


def test_a_job_that_ends_without_a_report_says_why(tmp_path: Path) -> None:
    recorder = Recorder()
    with pytest.raises(RunError, match="used more memory"):
        watched(tmp_path, Place(RUNNING, JobStatus("ended", "OUT_OF_MEMORY", "It used more memory.")), recorder)
    assert "the last words" in recorder.of(RunWarning)[0].message


def test_a_silent_cluster_is_waited_for_but_not_for_ever(tmp_path: Path) -> None:
    silent = LaunchError("The SLURM cluster does not answer.")
    recorder = Recorder()
    assert watched(tmp_path / "a", Place(RUNNING, silent, silent, OVER, report=REPORT), recorder) == REPORT
    assert any("does not answer. Trying again" in each.text for each in recorder.of(JobState))
    impatient = Place(silent)
    impatient.patience = -1.0
    with pytest.raises(LaunchError):
        watched(tmp_path / "b", impatient, Recorder())


def test_ctrl_c_twice_ends_the_job(tmp_path: Path) -> None:
    place = Place(RUNNING, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        watched(tmp_path, place, Recorder())
    assert place.cancelled == ["7"]
