"""A few real optimiser steps of a fine-tuning, and a part of its evaluations, to estimate how long it will take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from core.config import FineTuneConfig, total_steps
from core.errors import OutOfMemoryError
from core.models.entries import LoadedModel
from core.models.forward import max_positions
from core.planning.preflight import PreflightReport
from core.recorder import NullRecorder
from core.system.devices import is_out_of_memory
from core.tasks.data import Example, TaskData, data_warnings, of_type
from core.tasks.encoding import encode
from core.tasks.fine_tuning import CURVE_ITEMS, answers, fine_tune
from core.training.base_trainer import points_between

STEPS = 5  # training steps that are taken and discarded
ITEMS = 64  # items that stand for all of an evaluation
SUBJECTS = 2  # the model before and after its training; the teacher is one more


@dataclass(frozen=True)
class TaskTimings:
    """Measured seconds of the parts of a fine-tuning.

    Attributes:
        step: of one optimiser step; `steps` were taken.
        item: of one item in a forward pass of the model, `teacher_item` of the teacher; 0 without one.
        tokens_per_second: of training.
    """

    steps: int
    step: float
    item: float
    teacher_item: float
    tokens_per_second: float

    def seconds(self, config: FineTuneConfig, train_items: int, held_out: int) -> float:
        """Return the seconds of all steps and evaluations, and of the teacher's answers to the training items."""
        steps = total_steps(config.train, train_items)
        curve = points_between(config.evaluation.interval(steps), steps) * min(CURVE_ITEMS, held_out)
        queried = held_out + (train_items if config.losses.needs_teacher() else 0)
        return steps * self.step + (SUBJECTS * held_out + curve) * self.item + queried * self.teacher_item

    def __str__(self) -> str:
        return f"{self.steps} steps taken, {self.step:.2g} s each, {self.tokens_per_second:,.0f} tokens/s."


def describe_items(task: TaskData) -> str:
    """Return how many items of which labels there are, in a sentence."""
    counts = f"{len(task.train):,} items to train on, {len(task.validation):,} held out"
    if task.kind != "classification":
        return f"{counts}."
    labels = [item.label for item in of_type(task.train, Example)]
    shares = np.bincount(labels, minlength=len(task.labels)) / len(labels)
    most = sorted(zip(task.labels, shares, strict=True), key=lambda pair: -pair[1])[:5]
    shown = ", ".join(f"{label} {share:.0%}" for label, share in most)
    return f"{counts}. Trained on: {shown}{' and others' if len(task.labels) > 5 else ''}."


def dry_run_task(config: FineTuneConfig, start: LoadedModel, teacher: LoadedModel | None, task: TaskData,
                 dtype: torch.dtype) -> TaskTimings:
    """Train for a few steps on the first items and run each model on a few held-out ones. Nothing is kept.

    Raises:
        OutOfMemoryError: a step does not fit after all.
    """
    # An accumulated step is taken for as many plain ones: all but the optimiser's own arithmetic is repeated.
    repeated = config.train.gradient_accumulation_steps
    train = config.train.model_copy(update={"max_steps": STEPS, "gradient_accumulation_steps": 1, "report_to": ()})
    part = replace(task, train=task.train[: STEPS * train.per_device_train_batch_size], validation=task.validation[:1])
    try:
        tuned = fine_tune(start, part, train=train, losses=config.losses, teacher=teacher, lora=config.student.lora,
                          recorder=NullRecorder())
        features = encode(task.validation[:ITEMS], task, start.tokenizer, max_positions(start.model))
        item = _timed(lambda: answers(tuned.model, features, start.tokenizer, dtype)) / len(features)
        of_teacher = 0.0
        if teacher is not None:
            of_teacher = _timed(lambda: answers(teacher.model, features, teacher.tokenizer, dtype)) / len(features)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError("A training step ran out of memory.", "",
                               "Halve train.per_device_train_batch_size and double train.gradient_accumulation_steps: "
                               "the gradients stay the same.", field="train.per_device_train_batch_size") from error
    step = tuned.tokens / tuned.steps / tuned.tokens_per_second if tuned.tokens_per_second else 0.0
    return TaskTimings(tuned.steps, repeated * step, item, of_teacher, tuned.tokens_per_second)


def warn_of_items(task: TaskData, found: PreflightReport) -> None:
    """Report what weakens the measurement on these items."""
    for warning in data_warnings(task)[:1]:
        found.warn("held-out items", warning, "Hold more distinct texts out, or name a second file as task.validation.")


def _timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
