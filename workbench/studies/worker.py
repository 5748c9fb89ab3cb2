"""One study in one process, started by `workbench.studies.background`; its standard output and error are the log."""

from __future__ import annotations

import argparse
import signal
import time
import traceback
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.events import AblationPart, Annotating, ClaimPart, Event, Phase, StudyPart
from core.recorder import StopRequested
from core.system.machine import require_room_for_libraries
from workbench.error_mapping import to_user_error
from workbench.processes import Process, lower_priority
from workbench.studies.jobs import KINDS, Job, JobState, State

SAVE_SECONDS = 1.0  # between two states that differ in their training step only


class JobRecorder:
    """A `core.recorder.Recorder` that saves the state of a job and reads stop requests."""

    def __init__(self, job: Job, total: int) -> None:
        self.job, self.state = job, JobState("running", Process.current(), time.time(), total=total)
        self._stop, self._saved, self._polled = False, 0.0, 0.0
        self._part = self._phase = self._steps = ""
        self._save()

    def log(self, variant: str, step: int, metrics: Mapping[str, float]) -> None:
        """Save the step as the current activity, once a second at most."""
        if time.monotonic() - self._saved > SAVE_SECONDS:
            self._save(text=f"{self._part or self._phase}: step {step:,}{self._steps}")

    def event(self, event: Event) -> None:
        """Save a part or a phase that begins as the current activity."""
        if isinstance(event, ClaimPart | AblationPart | StudyPart):
            self._part = self.job.part_name(event)
            self._save(done=event.done, total=event.total, text=self._part or self.state.text)
        elif isinstance(event, Annotating):
            self._save(done=event.done, total=event.sentences, text=f"{event.behaviour}: {event.valid:,} answers valid, {event.dropped:,} "
                                                                    "dropped")
        elif isinstance(event, Phase):
            self._phase, steps = event.name, event.total_steps
            self._steps = f" of {steps:,}" if steps else ""
            self._save(text=": ".join(filter(None, (self._part, self._phase))))
            print(time.strftime("%H:%M:%S"), self.state.text, flush=True)

    def should_stop(self) -> bool:
        """Return whether the stop file is there, or a signal requested a stop."""
        if not self._stop and time.monotonic() - self._polled > SAVE_SECONDS / 2:
            self._stop, self._polled = self.job.stop_file.exists(), time.monotonic()
        return self._stop

    def request_stop(self, *_: Any) -> None:
        """Make `should_stop` true; safe in a signal handler."""
        self._stop = True

    def end(self, state: State, **changes: Any) -> None:
        """Save the final state, last of all: whoever reads it may start the job again."""
        self.job.stop_file.unlink(missing_ok=True)
        self._save(state=state, text="", **changes)

    def _save(self, **changes: Any) -> None:
        self.state, self._saved = replace(self.state, **changes), time.monotonic()
        self.job.save_state(self.state)


def main(arguments: list[str] | None = None) -> int:
    """Carry out the study; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m workbench.studies.worker", description="Run one study. The pages start this.")
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("seeds", type=int, help="of a claim; an ablation has them in its folder")
    options = parser.parse_args(arguments)
    lower_priority()
    job = KINDS[options.kind](options.folder)
    recorder = JobRecorder(job, job.parts(options.seeds))
    signal.signal(signal.SIGTERM, recorder.request_stop)
    try:
        require_room_for_libraries()  # a study imports them
        job.run(options.seeds, recorder)
    except StopRequested:
        recorder.end("stopped", message="Stopped.", hint=job.RESUME_HINT)
    except Exception as failure:  # whatever happened, the state must not stay "running"
        traceback.print_exception(failure)
        error = to_user_error(failure, job.folder)
        recorder.end("failed", message=" ".join(filter(None, (error.given, error.expected))), hint=error.advice)
        return 1
    else:
        recorder.end("finished", done=recorder.state.total)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
