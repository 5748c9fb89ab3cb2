"""Start studies in processes that outlive this one, one at a time: two would slow each other down."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

from core.config import ExperimentConfig
from core.studies.ablation import results
from core.studies.ablation.variants import variants
from core.studies.seeds import DEFAULT_SEEDS
from core.system.paths import SOURCE
from workbench.errors import StudyError
from workbench.paths import home
from workbench.processes import Process, detached, inherited
from workbench.studies.jobs import LOG, AblationJob, ClaimJob, Job, JobState, jobs

WORKER = (sys.executable, "-m", "workbench.studies.worker")


def start_claim(name: str, seeds: int = DEFAULT_SEEDS) -> None:
    """Check a claim in the background, resuming after seeds that finished before a stop.

    Raises:
        StudyError: another study is running, or the process cannot be started.
    """
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
    require_idle()
    job = AblationJob(results.save_request(config, seeds, command))
    _launch(job, seeds)
    return job


def running_job() -> str | None:
    """Return what runs now, as a sentence without its full stop; None while nothing does."""
    return next((job.RUNNING.format(job.folder.name) for job in jobs() if (state := job.load_state()) and state.state == "running"), None)


def require_idle() -> None:
    """Raise StudyError while a study is running."""
    running = running_job()
    if running is not None:
        raise StudyError(f"{running}.", "One check or ablation runs at a time: they would slow each other down.",
                         "Wait for it, or stop it.")


def _launch(job: Job, seeds: int) -> None:
    job.folder.mkdir(parents=True, exist_ok=True)
    job.stop_file.unlink(missing_ok=True)
    environment = inherited() | {"PYTHONUNBUFFERED": "1", "STILLHOUSE_HOME": str(home()),
                                 "PYTHONPATH": os.pathsep.join(filter(None, (str(SOURCE), os.environ.get("PYTHONPATH"))))}
    try:
        with open(job.folder / LOG, "wb") as log:
            process = subprocess.Popen([*WORKER, job.KIND, str(job.folder), str(seeds)], cwd=SOURCE, env=environment,
                                       stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, **detached())
    except OSError as error:
        raise StudyError(f"{job.folder.name} could not be started: {(error.strerror or str(error)).lower()}.") from error
    try:
        own = Process.of(process.pid)  # before anything waits for it, so that the pid is surely its own
        state = job.load_state()
        if state is None or state.process != own:  # the worker may have saved its own by now
            job.save_state(JobState("running", own, time.time(), total=job.parts(seeds)))
    finally:
        # A child that has ended and is not waited for stays behind as a zombie.
        threading.Thread(target=process.wait, name=f"reap {job.folder.name}", daemon=True).start()
