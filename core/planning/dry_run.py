"""A few real optimiser steps and evaluations before the run, to know how long it will take."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel, TrainerCallback

from core.config import ExperimentConfig
from core.data import movie_reviews
from core.data.prepare import PreparedData
from core.errors import OutOfMemory
from core.evaluation.objectives import Objective
from core.evaluation.sentiment import evaluate_sentiment
from core.models import catalog
from core.models.architectures import architecture_of, blocks
from core.models.vocabulary import real_width
from core.recorder import CONTROL, STUDENT, ListRecorder
from core.students.build import build_student, student_from_checkpoint
from core.students.from_scratch import student_from_scratch
from core.students.layer_maps import LayerMap, matched_blocks, student_depth
from core.system.devices import is_out_of_memory
from core.training.base_trainer import training_arguments
from core.training.distillation_trainer import HARD_LABELS_ONLY, DistillationSetup, DistillationTrainer

STEPS = 5  # the first of which warms up and is not timed
LONGEST = 20.0  # seconds after which an arm's rehearsal ends, once two steps are done
SENTIMENT_ITEMS = 8


@dataclass(frozen=True)
class DryRunInputs:
    """What a run trains with: a tokenizer, packed data, what is predicted, and the teacher where there is one."""

    tokenizer: Any
    data: PreparedData
    objective: Objective
    teacher: PreTrainedModel | None = None


@dataclass(frozen=True)
class DryRunTimings:
    """Seconds of a run's parts, as measured.

    Attributes:
        steps: optimiser steps that were taken for each arm; all but the first were timed.
        step: seconds of one optimiser step, by arm.
        language, sentiment, answers: seconds of the parts of one evaluation at its full size.
        tokens_per_second: of the student's steps.
    """

    steps: int
    step: dict[str, float]
    language: float
    sentiment: float
    answers: float
    tokens_per_second: float

    def seconds(self, config: ExperimentConfig, total_steps: int) -> float:
        """Of all steps, the evaluations between them, and those of the teacher and of every arm before and after."""
        arms = len(self.step)
        between = -(-total_steps // config.evaluation.eval_steps) * arms
        whole = (2 if config.teacher else 1) + arms  # teacher, student before, each arm after
        return (total_steps * sum(self.step.values()) + between * (self.language + self.answers)
                + whole * (self.language + self.sentiment + self.answers))

    def __str__(self) -> str:
        return f"{self.steps} steps taken, {self.step[STUDENT]:.2g} s each, {self.tokens_per_second:,.0f} tokens/s."


def rehearse(config: ExperimentConfig, material: DryRunInputs, device: torch.device, dtype: torch.dtype) -> DryRunTimings:
    """Train every arm for a few steps, then evaluate a little of everything. Nothing is kept.

    Raises:
        OutOfMemory: a step does not fit after all.
    """
    try:
        return _DryRun(config, material, device, dtype).rehearse()
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemory("A training step ran out of memory.", "",
                          "Halve train.per_device_train_batch_size and double train.gradient_accumulation_steps: "
                          "the gradients stay the same.") from error


@dataclass(frozen=True)
class _DryRun:
    config: ExperimentConfig
    material: DryRunInputs
    device: torch.device
    dtype: torch.dtype

    def rehearse(self) -> DryRunTimings:
        model, layer_map = self.student()
        trainers = {arm: self.trained(arm, model, layer_map) for arm in ((STUDENT, CONTROL) if self.config.control else (STUDENT,))}
        # An accumulated step is taken for as many plain ones: all but the optimiser's own arithmetic is repeated.
        repeated = self.config.train.gradient_accumulation_steps
        student = trainers[STUDENT]
        return DryRunTimings(
            steps=min(trainer.state.global_step for trainer in trainers.values()),
            step={arm: repeated * trainer.clock.seconds / (trainer.state.global_step - 1) for arm, trainer in trainers.items()},
            language=self.language(model), sentiment=self.sentiment(model), answers=self.answers(model),
            tokens_per_second=student.clock.tokens_per_second(student.state))

    def student(self) -> tuple[nn.Module, LayerMap | None]:
        spec, seed = self.config.student, self.config.train.seed
        if spec.fresh:
            return student_from_scratch(spec.fresh, self.material.tokenizer, seed).to(self.device), None
        if spec.model is not None:
            started = catalog.load(spec.model, self.device, torch.float32).model
            student = student_from_checkpoint(started, len(blocks(self.material.teacher or started)), spec, seed=seed)
            return student.model, student.layer_map
        # Blocks and units cost alike whichever they are, and measuring importance takes long. The last blocks can be matched at any depth.
        layers = len(blocks(self.material.teacher))
        last = tuple(range(layers - student_depth(spec, layers), layers))
        if architecture_of(self.material.teacher.config).first_block_differs:
            last = (0, *last[1:])
        cheap = {"units": "first"} | ({"layer_map": last} if spec.layer_map == "importance" else {})
        student = build_student(self.material.teacher, spec.model_copy(update=cheap), seed=seed, dtype=torch.float32)
        return student.model, student.layer_map

    def trained(self, arm: str, model: nn.Module, layer_map: LayerMap | None) -> DistillationTrainer:
        spec = self.config.train.model_copy(update={"max_steps": STEPS, "gradient_accumulation_steps": 1, "report_to": ()})
        teacher = self.material.teacher if self.config.losses.needs_teacher() else None
        if teacher is not None and layer_map is not None:
            layer_map = matched_blocks(self.config.losses.hidden_layers, layer_map, len(blocks(teacher)))
        lesson = HARD_LABELS_ONLY if arm == CONTROL else DistillationSetup(self.config.losses, teacher, layer_map)
        lesson = replace(lesson, vocabulary=real_width(self.material.tokenizer, model))
        with tempfile.TemporaryDirectory() as folder:
            arguments = training_arguments(spec, Path(folder), self.device, eval_steps=STEPS)
            arguments.save_strategy = arguments.eval_strategy = "no"
            trainer = DistillationTrainer(model, lesson, self.material.data.train, arguments, arm=arm, recorder=ListRecorder(),
                                          dtype=self.dtype, evaluate=lambda _: {}, batches=self.material.objective.batches)
            trainer.add_callback(_Deadline())
            trainer.train()
        return trainer

    def language(self, model: nn.Module) -> float:
        batch, held_out = self.config.train.per_device_train_batch_size, self.material.data.validation.take(self.config.evaluation.blocks)
        some = held_out.take(batch)
        return len(held_out) / len(some) * _timed(lambda: self.material.objective.measure(
            model, some, self.material.teacher, batch_size=batch, device=self.device, dtype=self.dtype))

    def sentiment(self, model: nn.Module) -> float:
        items = self.config.evaluation.sentiment_items
        some = movie_reviews.held_out("validation", min(items, SENTIMENT_ITEMS)) if items else []
        return items / len(some) * _timed(lambda: evaluate_sentiment(
            model, self.material.tokenizer, some, self.device, dtype=self.dtype)) if some else 0.0

    def answers(self, model: nn.Module) -> float:
        spec = self.config.evaluation
        model.eval()
        prompts = self.material.objective.prompts(spec.prompts)
        return len(prompts) * _timed(lambda: self.material.objective.answer(
            model, prompts[0], max_new_tokens=spec.max_new_tokens, seed=0)) if prompts else 0.0


class _Deadline(TrainerCallback):
    """Ends training after LONGEST seconds, not before two steps."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step >= 2 and time.monotonic() - self._began > LONGEST:
            control.should_training_stop = True


def _timed(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began
