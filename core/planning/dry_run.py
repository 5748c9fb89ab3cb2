"""A few real optimiser steps and evaluations before a run, to estimate how long it will take."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from core.config import ExperimentConfig
from core.errors import OutOfMemoryError
from core.methods.evaluator import LanguageEvaluation
from core.methods.steps import TrainingInputs, build, variants_of
from core.methods.variant_training import make_trainer
from core.models.architectures import architecture_of
from core.recorder import STUDENT, NullRecorder
from core.students.build import Student
from core.students.layer_maps import student_depth
from core.system.devices import is_out_of_memory
from core.training.base_trainer import points_between, training_arguments
from core.training.distillation_trainer import DistillationTrainer

STEPS = 5  # the first of which warms up and is not timed
LONGEST = 20.0  # seconds after which the dry run of a variant ends, once two steps are done
SENTIMENT_ITEMS = 8


@dataclass(frozen=True)
class DryRunTimings:
    """Measured seconds of the parts of a run.

    Attributes:
        steps: optimiser steps that were taken for each variant; all but the first were timed.
        step: seconds of one optimiser step, by variant.
        language, sentiment, answers: seconds of the parts of one evaluation at its full size.
        tokens_per_second: of the student's steps.
    """

    steps: int
    step: dict[str, float]
    language: float
    sentiment: float
    answers: float
    tokens_per_second: float

    def seconds(self, config: ExperimentConfig, total_steps: int, shared: int = 1) -> float:
        """Return the seconds of all steps and evaluations.

        Args:
            shared: devices that share a step or an evaluation.

        Counted are the evaluations between the steps, and those of the teacher and of every variant before and after.
        """
        variants = len(self.step)
        between = points_between(config.evaluation.interval(total_steps), total_steps) * variants
        whole = (2 if config.teacher else 1) + variants  # teacher, student before, each variant after
        return (total_steps * sum(self.step.values()) + between * (self.language + self.answers)
                + whole * (self.language + self.sentiment + self.answers)) / shared

    def __str__(self) -> str:
        return f"{self.steps} steps taken, {self.step[STUDENT]:.2g} s each, {self.tokens_per_second:,.0f} tokens/s."


def dry_run(inputs: TrainingInputs) -> DryRunTimings:
    """Train every variant for a few steps, then evaluate a little of everything. Nothing is kept.

    Raises:
        OutOfMemoryError: a step does not fit after all.
    """
    try:
        return _measure(inputs)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError("A training step ran out of memory.", "",
                               "Halve train.per_device_train_batch_size and double train.gradient_accumulation_steps: "
                               "the gradients stay the same.", field="train.per_device_train_batch_size") from error


def _measure(inputs: TrainingInputs) -> DryRunTimings:
    student = build(without_importance(inputs))
    trainers = {variant: _train(inputs, student, variant) for variant in variants_of(inputs.config)}
    whole = LanguageEvaluation.of(inputs)
    part = whole.shortened(blocks=whole.batch_size, reviews=SENTIMENT_ITEMS, prompts=1)
    # An accumulated step is taken for as many plain ones: all but the optimiser's own arithmetic is repeated.
    repeated, model, trained = inputs.config.train.gradient_accumulation_steps, student.model, trainers[STUDENT]
    return DryRunTimings(
        steps=min(trainer.state.global_step for trainer in trainers.values()),
        step={variant: repeated * trainer.clock.seconds / (trainer.state.global_step - 1) for variant, trainer in trainers.items()},
        language=len(whole.held_out) / len(part.held_out) * _timed(lambda: part.language(model)),
        sentiment=whole.sentiment_items / part.sentiment_items * _timed(lambda: part.sentiment(model)) if part.sentiment_items else 0.0,
        answers=len(whole.prompts) * _timed(lambda: list(part.samples(model))) if part.prompts else 0.0,
        tokens_per_second=trained.clock.tokens_per_second(trained.state))


def without_importance(inputs: TrainingInputs) -> TrainingInputs:
    """Return the inputs of a student of any blocks and units: all cost alike, and measuring importance takes long."""
    spec = inputs.config.student
    if inputs.teacher is None or spec.model is not None or spec.from_scratch is not None:
        return inputs
    cheap: dict[str, Any] = {"pruning_criterion": "first"}
    if spec.layer_map == "importance":
        # The last blocks can be matched at any depth.
        layers = inputs.teacher.entry.layers
        last = tuple(range(layers - student_depth(spec, layers), layers))
        if architecture_of(inputs.teacher.model.config).first_block_differs:
            last = (0, *last[1:])
        cheap["layer_map"] = last
    return replace(inputs, config=inputs.config.model_copy(update={"student": spec.model_copy(update=cheap)}))


def _train(inputs: TrainingInputs, student: Student, variant: str) -> DistillationTrainer:
    """Take the first steps of a variant."""
    spec = inputs.config.train.model_copy(update={"max_steps": STEPS, "gradient_accumulation_steps": 1, "report_to": ()})
    with tempfile.TemporaryDirectory() as folder:
        arguments = training_arguments(spec, Path(folder), inputs.device, eval_steps=STEPS)
        arguments.save_strategy = arguments.eval_strategy = "no"
        trainer = make_trainer(inputs, student, variant, arguments, NullRecorder(), lambda _: {})
        trainer.add_callback(Deadline())
        trainer.train_from(None)
    return trainer


class Deadline(TrainerCallback):
    """End training after LONGEST seconds, not before two steps."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Set `control.should_training_stop` once the time is over."""
        if state.global_step >= 2 and time.monotonic() - self._started > LONGEST:
            control.should_training_stop = True


def _timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
