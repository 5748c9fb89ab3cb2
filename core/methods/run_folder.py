"""The folder of a run: progress, checkpoints, finished models and the report, so that a stopped, killed or lost run can be resumed.

    <folder>/
        progress.json             measurements, layer map and seconds so far
        checkpoints/<variant>/    checkpoints to resume from; removed at the end
        logs/<variant>/           files of experiment trackers, if any report
        student/, control/, ...   finished model folders, each there whole or not at all
        report.json               the result
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from core.errors import DataError, DeviceError
from core.recorder import StopRequested
from core.reports.run_report import Report, RunReport, SignalsSummary
from core.system import ranks
from core.system.files import write_json


@dataclass
class Progress:
    """The content of ``progress.json``.

    Attributes:
        data: digest of the training data.
        measurements: subject (teacher, student_before, student_after, control) -> metrics.
        steps, tokens, speed: variant -> optimiser steps, tokens seen, tokens per second.
        layer_map: where it was measured; kept, so that both variants and every call build the same student.
        shape: sizes of the student (parameters, trainable_parameters, layers, layer_map).
        signals: source of the teacher's answers, which no later call changes: ``live``, or the key of a cache.
        kept_answers: what the report says of kept answers (`core.reports.run_report.SignalsSummary`).
        seconds: working time of all calls so far.
    """

    path: Path
    data: str = ""
    measurements: dict[str, dict[str, float]] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)
    speed: dict[str, float] = field(default_factory=dict)
    layer_map: list[int] | None = None
    shape: dict[str, Any] = field(default_factory=dict)
    signals: str = ""
    kept_answers: dict[str, Any] | None = None
    seconds: float = 0.0

    @classmethod
    def of(cls, directory: Path) -> Progress:
        """Read the progress of a run; a new one where there is none."""
        path = directory / "progress.json"
        return cls(path, **json.loads(path.read_text())) if path.is_file() else cls(path)

    def save(self) -> None:
        """Replace ``progress.json``."""
        write_json(self.path, {key: value for key, value in vars(self).items() if key != "path"})


class RunFolder:
    """Everything that a run keeps on disk. Opening the folder of an earlier call resumes it.

    Args:
        path: made if it does not exist.

    Raises:
        DeviceError: this process is one of several that have not joined (`core.system.ranks`).

    Attributes:
        progress: see `Progress`; call `save_progress` after changing it.
    """

    def __init__(self, path: Path) -> None:
        _require_joined()
        path.mkdir(parents=True, exist_ok=True)
        self.path, self.progress = path, Progress.of(path)
        self._started = time.monotonic() - self.progress.seconds

    @property
    def seconds(self) -> float:
        """Working time of all calls so far."""
        return time.monotonic() - self._started

    def save_progress(self) -> None:
        """Write ``progress.json``; of several processes rank 0 does."""
        if ranks.rank() == 0:
            self.progress.seconds = self.seconds
            self.progress.save()

    def require_unchanged_data(self, digest: str, source: str) -> None:
        """Raise DataError if the run began with other data; remember the digest otherwise."""
        if self.progress.data not in ("", digest):
            raise DataError(f"The data of '{source}' have changed since this run began.",
                            f"The digest was {self.progress.data}, and is {digest} now.",
                            "Put the old data back, or start the experiment as a new run.", field="data.source")
        self.progress.data = digest

    def add_training(self, variant: str, *, steps: int, tokens: int, tokens_per_second: float) -> None:
        """Save how far the training of a variant has come; a speed of 0 keeps the earlier one."""
        self.progress.steps[variant], self.progress.tokens[variant] = steps, tokens
        self.progress.speed[variant] = tokens_per_second or self.progress.speed.get(variant, 0.0)
        self.save_progress()

    def keep_summary(self, summary: SignalsSummary | None) -> None:
        """Save what the report says of kept answers; the counts of earlier calls are added."""
        if summary is None:
            return
        before = self.progress.kept_answers
        if before is not None:
            summary = replace(summary, queried=summary.queried + before["queried"], reused=summary.reused + before["reused"],
                              seconds=round(summary.seconds + before["seconds"], 2))
        self.progress.kept_answers = summary.to_dict()
        self.save_progress()

    # ------------------------------------------------------------------------------------------ checkpoints and models

    def checkpoints(self, variant: str) -> Path:
        """Return the folder of a variant's checkpoints."""
        return self.path / "checkpoints" / variant

    def logs(self, variant: str) -> Path:
        """Return the folder in which trackers log a variant."""
        return self.path / "logs" / variant

    def remove_checkpoints(self) -> None:
        """Delete all checkpoints, once every variant is saved."""
        shutil.rmtree(self.path / "checkpoints", ignore_errors=True)

    def has_model(self, name: str) -> bool:
        """Return whether a model is saved under that name."""
        return (self.path / name).is_dir()

    def save_model(self, name: str, model: PreTrainedModel, tokenizer: Any, precision: str = "fp32") -> Path:
        """Save a model folder atomically, unless it is there already; return its path.

        Args:
            precision: ``bf16`` and ``fp16`` round the saved weights; `model` itself is not changed.
        """
        def write(partial: Path) -> None:
            rounded = model if precision == "fp32" else copy.deepcopy(model)
            if precision == "bf16":
                rounded.bfloat16()
            elif precision == "fp16":
                rounded.half()
            rounded.save_pretrained(partial)
            tokenizer.save_pretrained(partial)

        return self.make_once(name, write)

    def make_once(self, name: str, write: Callable[[Path], object]) -> Path:
        """Let `write` make a file or folder, unless it is there already; it appears whole or not at all. Return its path."""
        target = self.path / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f"{target.name}.{ranks.rank()}.partial" if ranks.rank() else f"{target.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            write(partial)
            os.replace(partial, target)
        return target

    def write_report(self, report: RunReport) -> None:
        """Write ``report.json``."""
        write_json(self.path / "report.json", report.to_dict())

    @contextmanager
    def stop_reported(self, report: Callable[[], Report]) -> Iterator[None]:
        """Save the progress of a run that is stopped inside the context, and attach its report to `StopRequested`."""
        try:
            yield
        except StopRequested as stop:
            if self.progress.data:  # a chain has no progress of its own: its anchors are
                self.save_progress()
            raise StopRequested(report()) from stop


def _require_joined() -> None:
    """Raise DeviceError if several processes were started that do not know of each other: they would write, and remove, the same files."""
    if ranks.started_together() > 1 and not ranks.joined():
        raise DeviceError(f"This process is one of {ranks.started_together()} that were started together (WORLD_SIZE).",
                          "Processes that share a run join each other first.",
                          "Call core.methods.run_experiment, which does, or start one process.")
