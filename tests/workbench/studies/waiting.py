"""Wait for a background job to reach a state."""

from __future__ import annotations

import time
from collections.abc import Callable

from workbench.studies.jobs import Job, JobState

FAKE_WORKER = "tests.workbench.studies.fake_worker"


def wait_for(job: Job, holds: Callable[[JobState], bool], seconds: float = 60) -> JobState:
    """Return the first state of which `holds` is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        state = job.load_state()
        if state is not None and holds(state):
            return state
        time.sleep(0.05)
    raise AssertionError(f"{job.load_state()}\n{job.log_tail()}")


def training(state: JobState) -> bool:
    """Whether the job has reported a training step."""
    return "step" in state.text


def ended(state: JobState) -> bool:
    """Whether the job has ended."""
    return state.state != "running"
