"""Start studies in processes that outlive this one, one at a time: two would slow each other down."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from core.config import ExperimentConfig
from core.reading import requests as readings
from core.reading.requests import ReadingRequest
from core.reports.deployment import store as deployments
from core.reports.deployment.record import DeploymentRequest
from core.studies.ablation import results
from core.studies.ablation.variants import variants
from core.studies.seeds import DEFAULT_SEEDS
from workbench.errors import StudyError
from workbench.paths import home
from workbench.processes import inherited, reaped, start_detached
from workbench.studies.jobs import LOG, AblationJob, ClaimJob, DeploymentJob, Job, JobState, ReadingJob, jobs

WORKER = (sys.executable, "-m", "workbench.studies.worker")
LOCK, PATIENCE = "studies.lock", 30.0  # seconds


def start_claim(name: str, seeds: int = DEFAULT_SEEDS) -> None:
    """Check a claim in the background, resuming after seeds that finished before a stop.

    Raises:
        StudyError: another study is running, or the process cannot be started.
    """
    with _alone():
        require_idle()
        _launch(ClaimJob.of(name), seeds)


def start_ablation(config: ExperimentConfig, seeds: int, command: str = "") -> AblationJob:
    """Carry out an ablation in the background, resuming after trainings that finished before a stop.

    Args:
        command: the command line that does the same in a terminal.

    Raises:
        ConfigError: a recipe of which nothing can be left out.
        StudyError: another study is running, or the process cannot be started.
    """
    variants(config)
    with _alone():
        require_idle()
        job = AblationJob(results.save_request(config, seeds, command))
        _launch(job, seeds)
    return job


def start_deployment(request: DeploymentRequest) -> DeploymentJob:
    """Compare the forms of a model in the background; an export that has ended before a stop is used again.

    Raises:
        StudyError: another study is running, or the process cannot be started.
    """
    with _alone():
        require_idle()
        job = DeploymentJob(deployments.save_request(request))
        _launch(job, 1)
    return job


def start_reading(request: ReadingRequest) -> ReadingJob:
    """Take a reading teacher's notes in the background; answers that are kept are not requested again.

    Raises:
        StudyError: another study is running, or the process cannot be started.
    """
    with _alone():
        require_idle()
        job = ReadingJob(readings.save_request(request))
        _launch(job, 1)
    return job


def running_job() -> str | None:
    """Return what runs now, as a sentence without its full stop; None while nothing does."""
    return next((job.RUNNING.format(job.folder.name) for job in jobs() if (state := job.load_state()) and state.state == "running"), None)


def require_idle() -> None:
    """Raise StudyError while a study is running."""
    running = running_job()
    if running is not None:
        raise StudyError(f"{running}.", "One check, ablation, comparison or annotation runs at a time: they would slow each other down.",
                         "Wait for it, or stop it.")


@contextmanager
def _alone() -> Iterator[None]:
    """Let nobody else look whether something runs before what begins here has its state: another session, or another app of this home.

    Raises:
        StudyError: others take too long.
    """
    path = home() / LOCK
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path, timeout=PATIENCE):
            yield
    except Timeout as error:
        raise StudyError("Another study is being started.", "", "Try again in a moment.") from error


def _launch(job: Job, seeds: int) -> None:
    job.folder.mkdir(parents=True, exist_ok=True)
    job.stop_file.unlink(missing_ok=True)
    (job.folder / LOG).unlink(missing_ok=True)
    try:
        process = start_detached([*WORKER, job.KIND, str(job.folder), str(seeds)], job.folder / LOG,
                                 inherited() | {"STILLHOUSE_HOME": str(home())})
    except OSError as error:
        raise StudyError(f"{job.folder.name} could not be started: {(error.strerror or str(error)).lower()}.") from error
    with reaped(process) as own:
        state = job.load_state()
        if state is None or state.process != own:  # the worker may have saved its own by now
            job.save_state(JobState("running", own, time.time(), total=job.parts(seeds)))
