"""An engine that trains nothing but behaves like one: phases, curves, checkpoints, resume, stop, and failures on request.

``description`` of the config says how: a JSON object with ``fail_at`` (step), ``error`` (what to raise there), ``wait_at`` (step at which
it stays until `let_go` or a stop), ``flush_at`` (step at which everything so far is handed to the store) and ``deaf`` (never asks whether
to stop). Run as a script it is a worker process with this engine. Its environment may name a file that it waits for before it begins, and
the seconds between the times at which the store is written.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from core.config import ExperimentConfig
from core.errors import ConfigError, NonFiniteLossError
from core.events import Phase, Sample
from core.recipes import parse_recipe
from core.recorder import STUDENT, Recorder
from core.reports.run_report import RunReport, StudentSummary

WAITS_FOR, FLUSH_SECONDS = "FAKE_ENGINE_WAITS_FOR", "FAKE_ENGINE_FLUSH_SECONDS"
POLL = 0.01  # seconds


class OutOfMemoryError(RuntimeError):
    """Named as torch names its own."""


ERRORS = {
    "bug": lambda: TypeError("unsupported operand"),
    "disk full": lambda: OSError(errno.ENOSPC, "No space left on device", "model.safetensors"),
    "disk full in safetensors": lambda: RuntimeError('IoError(Os { code: 28, message: "No space left on device" })'),
    "no memory": MemoryError,
    "no memory on the GPU": lambda: OutOfMemoryError("CUDA out of memory"),
    "no memory in torch": lambda: RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    "no memory in torch on Windows": lambda: RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
    "not finite": lambda: NonFiniteLossError("The loss became NaN at step 3.", "", "Lower train.learning_rate."),
    "mistake": lambda: ConfigError("The depth was given as 9.", "At most 8 was expected.", "Set student.layers."),
    "read-only": lambda: OSError(errno.EROFS, "Read-only file system", "model.safetensors"),
}


def config(steps: int = 5, *, name: str | None = None, device: str = "cpu", **behaviour: Any) -> ExperimentConfig:
    """A configuration for the fake engine."""
    return parse_recipe({"name": name, "description": json.dumps(behaviour),
                         "teacher": None, "student": {"from_scratch": {"layers": 1, "hidden": 8, "vocabulary": 300}}, "losses": {"w_kd": 0},
                         "train": {"max_steps": steps, "device": device, "save_steps": 10}})


def engine(config: ExperimentConfig, recorder: Recorder, directory: Path, **_options: Any) -> RunReport:
    """The signature and the habits of `core.methods.distillation.distill`."""
    behaviour, total = json.loads(config.description), config.train.max_steps
    checkpoint = directory / "step"
    step = int(checkpoint.read_text()) if checkpoint.exists() else 0
    recorder.event(Phase("train", STUDENT, total_steps=total))
    if not step:
        recorder.log(STUDENT, 0, {"eval/perplexity": 100.0})
    while step < total:
        step += 1
        if step == behaviour.get("fail_at"):
            raise ERRORS[behaviour["error"]]()
        recorder.log(STUDENT, step, {"loss": 1 / step, "tokens_per_second": 10.0})
        if step % config.train.save_steps == 0:
            checkpoint.write_text(str(step))
            recorder.event(Sample(STUDENT, step, "?", "!"))
        if step == behaviour.get("flush_at"):
            recorder.flush()
        while step == behaviour.get("wait_at") and not _go(directory).exists() and (behaviour.get("deaf") or not recorder.should_stop()):
            time.sleep(POLL)
        if not behaviour.get("deaf") and recorder.should_stop():
            checkpoint.write_text(str(step))
            return _report(directory, stopped=True)
    report = _report(directory, stopped=False)
    recorder.event(report)
    return report


def let_go(directory: Path) -> None:
    """Let the run of this folder continue past `wait_at`."""
    _go(directory).touch()


def _go(directory: Path) -> Path:
    return directory.with_name(f"{directory.name}.go")


def _report(directory: Path, *, stopped: bool) -> RunReport:
    """The report; its command is the number of this process."""
    return RunReport(str(directory / STUDENT), None, StudentSummary("fake"), {"teacher": None}, None, 0.1, 0, 0.0, stopped,
                     command=str(os.getpid()))


if __name__ == "__main__":
    from workbench.runs import jobs, recording, worker

    recording.FLUSH_SECONDS = float(os.environ.get(FLUSH_SECONDS, recording.FLUSH_SECONDS))
    while WAITS_FOR in os.environ and not Path(os.environ[WAITS_FOR]).exists():
        time.sleep(POLL)

    jobs.WORKER = (sys.executable, "-m", "tests.workbench.fake_engine")  # for the next run in the queue
    raise SystemExit(worker.main(engine=engine))
