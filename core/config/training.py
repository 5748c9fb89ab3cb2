"""Optimisation: steps, step size, precision, checkpoints."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from core.config.base import MAX_BATCH, MAX_COUNT, MAX_FACTOR, MAX_PROCESSES, Config, as_tuple

Tracker = Literal["tensorboard", "wandb", "trackio", "mlflow"]


def _word(value: object) -> object:
    """Return YAML's true and false as words."""
    return str(value).lower() if isinstance(value, bool) else value


class TrainSpec(Config):
    """Optimisation, on what, and what is kept."""

    max_steps: int | None = Field(None, ge=1, le=MAX_COUNT, description="optimiser steps; overrides num_train_epochs")
    num_train_epochs: float = Field(1.0, gt=0, le=1e9, description="passes; over the training blocks")
    per_device_train_batch_size: int = Field(8, ge=1, le=MAX_BATCH, description="blocks; in one forward pass")
    gradient_accumulation_steps: int = Field(1, ge=1, le=MAX_BATCH, description="forward passes; added up before each optimiser step")
    learning_rate: float = Field(5e-4, gt=0, le=MAX_FACTOR, description="number; peak step size of AdamW")
    lr_scheduler_type: Literal["linear", "cosine", "constant_with_warmup"] = Field("cosine", description=(
        "rule; how the step size decays after warm-up"))
    warmup_ratio: float = Field(0.05, ge=0, le=1, description="fraction (0-1) of the steps over which the learning rate grows from 0")
    weight_decay: float = Field(0.01, ge=0, le=MAX_FACTOR, description="number; decoupled weight decay")
    adam_beta2: float = Field(0.98, gt=0, lt=1, description="number; AdamW's second-moment decay")
    max_grad_norm: float = Field(1.0, gt=0, le=MAX_FACTOR, description="norm; gradients are clipped to it")
    precision: Literal["auto", "fp32", "bf16"] = Field("auto", description=(
        "format; auto takes bf16 where a GPU computes it natively, or a processor does and is faster in it, as a measurement at its first "
        "use finds"))
    save_precision: Literal["auto", "fp32", "bf16", "fp16"] = Field("auto", description=(
        "format; of the saved weights, which are trained in fp32 whatever they are saved in; auto takes the teacher's, without one that "
        "of the model that the student starts from, and fp32 for a new one"))
    processes: Annotated[int, Field(ge=1, le=MAX_PROCESSES)] | Literal["auto"] = Field(1, description=(
        "processes; that share the blocks of each step, on a GPU each or on the processor, with the losses of one; auto: one a GPU"))
    sharding: Literal["none", "teacher", "both"] = Field("none", description=(
        "models; whose weights the processes share out, where one device is too small: none, the teacher, or both teacher and student"))
    compile: Annotated[Literal["false", "auto", "true"], BeforeValidator(_word)] = Field("false", description=(
        "rule; whether each block of the student is compiled, which takes about half a minute once and then trains faster; auto: on the "
        "processor, in runs long enough to be worth it"))
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="name; auto, cpu, cuda or cuda:N")
    seed: int = Field(42, ge=0, lt=2**32, description="integer; of initialisation, data order and dropout")
    logging_steps: int = Field(1, ge=1, le=MAX_COUNT, description="optimiser steps; between two points of the training curves")
    save_steps: int = Field(200, ge=1, le=MAX_COUNT, description="optimiser steps; between two checkpoints")
    report_to: Annotated[tuple[Tracker, ...], BeforeValidator(as_tuple)] = Field((), description=(
        "names; trackers to report to as well: tensorboard, wandb, trackio, mlflow"))


def total_steps(spec: TrainSpec, blocks: int) -> int:
    """Return the optimiser steps that Trainer takes: an epoch's last step may be short, and the last epoch may be cut."""
    if spec.max_steps:
        return spec.max_steps
    batches = math.ceil(blocks / spec.per_device_train_batch_size)
    return math.ceil(spec.num_train_epochs * math.ceil(batches / spec.gradient_accumulation_steps))
