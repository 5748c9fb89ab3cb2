"""Measure before the run whether the teacher can help, on the user's own held-out text.

    teacher, student    their cross-entropies before training, over the same groups of held-out blocks
    tuned               a copy of the teacher's, after a few optimiser steps on the training text

`core.evaluation.teacher_help` says what follows from them.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from core.data.packing import Blocks
from core.evaluation.statistics import Estimate, mean_interval
from core.evaluation.teacher_help import TeacherHelp
from core.methods.steps import TrainingInputs, build
from core.methods.variant_training import make_trainer
from core.planning.dry_run import Deadline, without_importance
from core.planning.teacher_tuning import TUNING_RATE
from core.recorder import CONTROL, NullRecorder
from core.students.build import Student
from core.system import machine
from core.training.base_trainer import training_arguments

GROUPS = 12  # of held-out blocks, the items of the intervals
FEWEST_GROUPS = 3  # below which there is no interval worth its name
TUNING_STEPS = 10
TUNING_BYTES = 16  # of memory for each parameter: weights, gradient and AdamW's two moments in float32


def measure_teacher_help(inputs: TrainingInputs) -> TeacherHelp | None:
    """Measure teacher and initial student; None without a teacher here, or where too little text is held out.

    Nothing is kept, and no weights of `inputs` change. The teacher's own training is tried where memory holds a second copy of it.
    """
    groups = list(_groups(inputs.data.validation.take(inputs.config.evaluation.blocks)))
    if inputs.teacher is None or len(groups) < FEWEST_GROUPS:
        return None
    teacher = inputs.teacher.model
    known = _losses(teacher, groups, inputs)
    before = _losses(build(without_importance(inputs)).model, groups, inputs)
    found = TeacherHelp(_interval(known), _interval(before), _interval(_differences(before, known)))
    size = sum(each.numel() for each in teacher.parameters())
    if TUNING_BYTES * size > machine.memory_available() / 2:
        return found
    tuned, steps = _tuned(inputs)
    return replace(found, tuned_lead=_interval(_differences(known, _losses(tuned, groups, inputs))), tuning_steps=steps)


def _groups(blocks: Blocks) -> Iterator[Blocks]:
    """Yield runs of neighbouring blocks of which some position counts."""
    count = min(GROUPS, len(blocks))
    for number in range(count):
        part = slice(number * len(blocks) // count, (number + 1) * len(blocks) // count)
        group = Blocks(blocks.input_ids[part], blocks.weights[part], blocks.documents, blocks.tokens)
        if group.counted:
            yield group


def _losses(model: nn.Module, groups: list[Blocks], inputs: TrainingInputs) -> list[float]:
    size = inputs.config.train.per_device_train_batch_size
    return [inputs.objective.measure(model, group, None, batch_size=size, device=inputs.device, dtype=inputs.dtype)["cross_entropy"]
            for group in groups]


def _interval(values: list[float]) -> Estimate:
    return mean_interval(values, over="groups of blocks")


def _differences(first: list[float], second: list[float]) -> list[float]:
    return [one - other for one, other in zip(first, second, strict=True)]


def _tuned(inputs: TrainingInputs) -> tuple[nn.Module, int]:
    """Return a copy of the teacher after a few steps on the training text, and how many they were."""
    assert inputs.teacher is not None
    model = copy.deepcopy(inputs.teacher.model).float()
    size, train = model.num_parameters(), inputs.config.train
    changes: dict[str, Any] = {"max_steps": TUNING_STEPS, "gradient_accumulation_steps": 1, "report_to": (), "warmup_ratio": 0.0,
                               "learning_rate": TUNING_RATE * train.learning_rate, "lr_scheduler_type": "constant_with_warmup"}
    with tempfile.TemporaryDirectory() as folder:
        arguments = training_arguments(train.model_copy(update=changes), Path(folder), inputs.device, eval_steps=TUNING_STEPS)
        arguments.save_strategy = arguments.eval_strategy = "no"
        trainer = make_trainer(inputs, Student(model, None, size, size), CONTROL, arguments, NullRecorder(), lambda _: {})
        trainer.add_callback(Deadline())
        trainer.train_from(None)
    return model, trainer.state.global_step
