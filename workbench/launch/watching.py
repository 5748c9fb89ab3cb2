"""The one process of this machine that looks after a run elsewhere: submits it, hands on what it records, and asks how the job is."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from core.errors import RunError, StillhouseError
from core.events import JobState, RunWarning
from core.recorder import StopRequested
from core.reports.run_report import Report
from core.system.files import read_json
from workbench.errors import LaunchError
from workbench.launch.job import STOP, Job
from workbench.launch.launcher import JobStatus, Launcher, Progress, job_id_file
from workbench.launch.local import last_lines
from workbench.launch.records import RecordsReader, TimedRecorder

RESUME = "Resume continues from the last checkpoint."
LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "NCCL")  # in what a process says that misses another
LONGEST_WAIT = 60.0  # seconds between two attempts at a place that does not answer


def watch(config: Any, recorder: TimedRecorder, directory: Path, *, job: Job, launcher: Launcher, poll: float | None = None,
          patience: float | None = None, **_: Any) -> Report | None:
    """Carry a run out with a launcher, or take up the job that an earlier process has left under way.

    Where the place does not answer, what it was to do is done again, at growing intervals.

    Args:
        config: of the run, as other engines are given it; what counts is in `job`.
        job: what the processes are given.
        poll, patience: in place of the launcher's.

    Returns:
        The report, as `core.methods.run_experiment`; None where the job was cancelled before it had one.

    Raises:
        StillhouseError: what ended it.
    """
    poll, patience = launcher.poll if poll is None else poll, launcher.patience if patience is None else patience
    shown = ""

    def show(text: str) -> None:
        nonlocal shown
        if text != shown and launcher.outlives:
            recorder.event(JobState(text))
        shown = text

    def show_or_stop(text: str) -> None:
        if recorder.should_stop():
            raise StopRequested
        show(text)

    try:
        job_id = _submitted(job, launcher, recorder, show_or_stop)
    except StopRequested:
        return None  # nothing was submitted
    reader, status, note, silent, wait = RecordsReader(job.folder), None, "", 0.0, poll
    try:
        while True:
            reader.pass_on(recorder)
            if recorder.should_stop():
                (job.folder / STOP).touch()
            try:
                if status is None or status.state != "ended":
                    launcher.sync(show)
                    status = launcher.status(job_id)
                    show(status.text)
                if status.state == "ended":
                    note = launcher.sync(show, ended=True)
                    show(status.text)
                    break
                if status.state == "waiting" and recorder.should_stop():
                    launcher.cancel(job_id)  # it has nothing to save
                silent, wait = 0.0, poll
            except LaunchError as error:
                silent, wait = silent + wait, min(2 * wait, max(poll, LONGEST_WAIT))
                if silent > patience:
                    raise
                show(f"{error.given} Trying again.")
            time.sleep(wait)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) or not launcher.outlives:
            launcher.cancel(job_id)
        raise
    reader.pass_on(recorder)
    job_id_file(job.directory).unlink(missing_ok=True)
    if note:
        recorder.event(RunWarning(note))
    if reader.report is not None:
        return reader.report
    if status.cancelled:
        return None
    if printed := launcher.log(job_id):
        recorder.event(RunWarning(f"The job printed at its end: {printed}"))
    raise failure_of(job.folder, status)


def _submitted(job: Job, launcher: Launcher, recorder: TimedRecorder, on_progress: Progress) -> str:
    """Return the id of a run's job: of one that is under way, or has finished the run, or of a new one."""
    file = job_id_file(job.directory)
    if file.is_file():
        job_id = file.read_text().strip()
        if launcher.status(job_id).state != "ended":
            return job_id
        launcher.sync(on_progress, ended=True)
        left = RecordsReader(job.folder)
        left.pass_on(recorder)
        if left.report is not None and not left.report.stopped:
            return job_id
    shutil.rmtree(job.folder, ignore_errors=True)  # of an earlier attempt
    job.write()
    job_id = launcher.submit(job, on_progress)
    file.write_text(job_id)
    return job_id


def failure_of(folder: Path, status: JobStatus) -> StillhouseError:
    """Return what ended the processes of a run: what the place says of one that ended without a word, or the first error.

    What the others say, as of a lost connection, only follows from that.

    Args:
        folder: ``ranks/`` of the run.
    """
    errors = sorted((plain["time"], int(path.name.partition(".")[0]), plain["error"]) for path in folder.glob("*.error.json")
                    if (plain := read_json(path)))
    if errors and not status.failure:
        _, rank, plain = errors[0]
        silent = sorted({int(log.stem) for log in folder.glob("[0-9]*.log")} - {number for _, number, _ in errors})
        if silent and any(words in plain["given"] for words in LOST):
            return RunError(f"Process {silent[0]} ended without a word, and the others lost it: killed, out of memory, or crashed.",
                            last_lines(folder / f"{silent[0]}.log"), RESUME)
        error = StillhouseError.from_dict(plain)
        if rank:
            error.given = f"Process {rank}: {error.given}"
        return error
    return RunError(status.failure or f"The job has ended ({status.text}) and left no report.", "", RESUME)
