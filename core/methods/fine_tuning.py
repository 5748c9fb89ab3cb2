"""Fine-tuning on a labelled task, alone or taught by a fine-tuned teacher: DistilBERT's second step (1910.01108, section 4).

    task       = load_task(config.task)                       core.tasks.data
    student    = config.student.model with a new head         core.tasks.heads
    measure teacher, student before, train, student after     core.tasks.fine_tuning

A run like any other: called again on the same directory it goes on where it was stopped, and it leaves a plain model folder that
anybody's ``AutoModelForSequenceClassification`` or ``AutoModelForQuestionAnswering`` loads.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from core.config import ExperimentConfig
from core.errors import DataError
from core.methods.distillation import Load, write_json
from core.methods.progress import Progress, require_one_process
from core.metrics import METRICS
from core.models import catalog, compatibility
from core.models.adapters import merged
from core.models.architectures import plain_model
from core.models.catalog import LoadedModel
from core.models.forward import positions
from core.models.loading import read_model
from core.recorder import STUDENT, Recorder, StopRequested
from core.reports.model_card import write_folder_documents
from core.system.devices import resolve_device, resolve_precision
from core.tasks.data import TaskData, load_task
from core.tasks.encoding import encode
from core.tasks.fine_tuning import evaluate_task, fine_tune, measure_items, shown_answers
from core.tasks.heads import check_teacher, label_order
from core.training.trackers import tracked

SHOWN = 4  # held-out items whose answers are shown before and after
LONGEST_SHOWN = 600  # characters of such an item


def tune(config: ExperimentConfig, recorder: Recorder, directory: Path, *, load: Load = catalog.load, command: str = "") -> dict[str, Any]:
    """Fine-tune ``student.model`` on ``task``, or go on with it.

    Args:
        config: with its section ``task``; ``teacher`` is a model fine-tuned on the same labels, or null.
        recorder, directory, load, command: as in `core.methods.distillation.distill`.

    Returns:
        The report, with the keys of `core.methods.distillation.distill`.

    Raises:
        StillhouseError: whatever the user can do something about; nothing half-made stays under ``student/``.
    """
    require_one_process()
    directory.mkdir(parents=True, exist_ok=True)
    return _FineTuning(config, recorder, directory, load, command).run()


class _FineTuning:
    def __init__(self, config: ExperimentConfig, recorder: Recorder, directory: Path, load: Load, command: str) -> None:
        assert config.task is not None
        self.config, self.recorder, self.directory, self.command = config, recorder, directory, command
        self.progress = Progress.of(directory)
        self.device = resolve_device(config.train.device)
        self.dtype = resolve_precision(config.train.precision, self.device)
        self.began = time.monotonic() - self.progress.seconds
        self.teacher: LoadedModel | None = None
        with self.phase("load models"):
            self.start: LoadedModel = load(config.student.model, device=self.device, dtype=torch.float32)
            compatibility.require_encoder(self.start.entry)
            if config.teacher is not None:
                self.teacher = load(config.teacher.model, device=self.device, dtype=self.dtype)
                check_teacher(self.teacher, self.start)
        with self.phase("prepare data"):
            self.task: TaskData = load_task(config.task)
            if self.progress.data not in ("", self.task.digest):
                raise DataError(f"The data of '{config.task.source}' have changed since this run began.",
                                f"They were {self.progress.data}, and are {self.task.digest} now.",
                                "Put the old data back, or start the experiment as a new run.")
            self.progress.data = self.task.digest
            if self.teacher is not None:
                label_order(self.teacher, self.task)

    def run(self) -> dict[str, Any]:
        try:
            if self.teacher is not None and "teacher" not in self.progress.measurements:
                with self.phase("evaluate", who="teacher"):
                    self._tell("teacher", evaluate_task(self.teacher, self.task, dtype=self.dtype))
            if self.recorder.should_stop():
                raise StopRequested
            target = self.directory / STUDENT
            if not target.is_dir():
                self._save(self._fit(), target)
        except StopRequested:
            self._keep_progress()
            return self.report(stopped=True)
        if "student_after" not in self.progress.measurements:
            # What is measured is what was saved: read back, in whatever precision it was saved in.
            saved = read_model(target, self.task.kind, torch.float32).to(self.device).eval()
            loaded = replace(self.start, model=saved, entry=replace(self.start.entry, task=self.task.kind))
            with self.phase("evaluate", who="student_after"):
                self._tell("student_after", evaluate_task(loaded, self.task, dtype=self.dtype), self.progress.steps[STUDENT])
            self._show(saved, positions(saved), self.progress.steps[STUDENT])
        shutil.rmtree(self.directory / "checkpoints", ignore_errors=True)
        report = self.report(stopped=False)
        write_folder_documents(target, self.config, report)
        write_json(self.directory / "report.json", report)
        self.recorder.event("report", report)
        return report

    def _fit(self) -> PreTrainedModel:
        config = self.config
        with self.phase("train", arm=STUDENT), tracked(config.train.report_to, self.directory / "logs" / STUDENT):
            tuned = fine_tune(self.start, self.task, train=config.train, losses=config.losses, teacher=self.teacher,
                              lora=config.student.lora, recorder=self.recorder, directory=self.directory / "checkpoints" / STUDENT,
                              eval_steps=config.evaluation.eval_steps, before=self._before,
                              name=f"{config.name or self.directory.name}-{STUDENT}")
        self.progress.steps[STUDENT], self.progress.tokens[STUDENT] = tuned.steps, tuned.tokens
        self.progress.speed[STUDENT] = tuned.tokens_per_second or self.progress.speed.get(STUDENT, 0.0)
        return tuned.model

    def _before(self, model: nn.Module, reads: int) -> None:
        """Measure the model with its untrained head, once."""
        if "student_before" in self.progress.measurements:
            return
        plain = merged(model)
        self.progress.shape = {"parameters": plain.num_parameters(), "layers": self.start.entry.layers, "layer_map": None,
                               "trainable_parameters": sum(each.numel() for each in model.parameters() if each.requires_grad)}
        with self.phase("evaluate", who="student_before"):
            features = encode(self.task.validation, self.task, self.start.tokenizer, reads)
            self._tell("student_before", measure_items(model, features, self.task, self.start.tokenizer, self.dtype), 0)
        self._show(model, reads, 0)

    def _save(self, model: PreTrainedModel, target: Path) -> None:
        partial = target.with_name(f"{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        if self.config.train.save_precision == "bf16":
            model = model.to(torch.bfloat16)
        model.save_pretrained(partial)
        self.start.tokenizer.save_pretrained(partial)
        self._keep_progress()
        partial.replace(target)

    # ------------------------------------------------------------------------------------------ what is told

    def _tell(self, who: str, metrics: dict[str, float], step: int | None = None) -> None:
        self.recorder.event("evaluation", {"who": who, "metrics": metrics})
        if step is not None:
            self.recorder.log(STUDENT, step, {f"eval/{name}": value for name, value in metrics.items() if f"eval/{name}" in METRICS})
        # Kept only now: what a run that dies in between has not told is measured and told again.
        self.progress.measurements[who] = metrics
        self._keep_progress()

    def _show(self, model: nn.Module, reads: int, step: int) -> None:
        features = encode(self.task.validation[:SHOWN], self.task, self.start.tokenizer, reads)
        for prompt, answer in shown_answers(plain_model(model), features, self.task, self.start.tokenizer, self.dtype):
            self.recorder.event("samples", {"arm": STUDENT, "step": step, "prompt": prompt[:LONGEST_SHOWN], "answer": answer})

    def report(self, *, stopped: bool) -> dict[str, Any]:
        """Everything known, in the shape that the command line prints."""
        teacher = self.teacher and {"name": self.teacher.entry.name, "parameters": self.teacher.entry.parameters,
                                    "layers": self.teacher.entry.layers}
        task = self.task
        return {
            "output_dir": str(self.directory / STUDENT), "teacher": teacher,
            "student": {"name": self.config.name or STUDENT, "started": self.start.entry.name, **self.progress.shape},
            "metrics": {who: self.progress.measurements.get(who) for who in ("teacher", "student_before", "student_after")},
            "data": {"digest": task.digest, "task": task.name, "kind": task.kind, "labels": list(task.labels),
                     "train_items": len(task.train), "items": len(task.validation)},
            "seconds": round(time.monotonic() - self.began, 1), "tokens": self.progress.tokens.get(STUDENT, 0),
            "tokens_per_second": round(self.progress.speed.get(STUDENT, 0.0), 1), "stopped": stopped, "command": self.command,
        }

    @contextmanager
    def phase(self, name: str, **details: Any) -> Iterator[None]:
        """Tell the recorder what is being done."""
        self.recorder.event("phase", {"name": name, **details})
        yield

    def _keep_progress(self) -> None:
        self.progress.seconds = time.monotonic() - self.began
        self.progress.save()
