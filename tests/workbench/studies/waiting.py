"""Wait for a background job to reach a state."""

from __future__ import annotations

from collections.abc import Callable

from tests.waiting import wait_until
from workbench.studies.jobs import Job, JobState

FAKE_WORKER = "tests.workbench.studies.fake_worker"


def wait_for(job: Job, holds: Callable[[JobState], bool]) -> JobState:
    """Return the first state of which `holds` is true."""
    def look() -> JobState | None:
        state = job.load_state()
        return state if state is not None and holds(state) else None

    return wait_until(look, lambda: f"{job.load_state()}\n{job.log_tail()}")


def training(state: JobState) -> bool:
    """Whether the job has reported a training step."""
    return "step" in state.text


def ended(state: JobState) -> bool:
    """Whether the job has ended."""
    return state.state != "running"
