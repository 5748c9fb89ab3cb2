"""What a run will need: what a plan comes to, and the parts of it that every kind of plan has."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from core.config import TrainSpec
from core.errors import DeviceError
from core.evaluation.teacher_help import TeacherHelp
from core.planning import memory, preflight
from core.planning.memory import Memory
from core.planning.models import ModelSize
from core.planning.preflight import Check, PreflightReport
from core.students.layer_maps import LayerMap


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will need. None stands for what is not known (yet).

    Attributes:
        fits: whether every check holds.
        layer_map: None for a fresh model, and before importance is measured.
        tokens_per_step: of one optimiser step, padding included.
        processes: that share each step.
        total_steps: optimiser steps of each variant; without ``max_steps`` it takes packed data to know.
        counted_share: share of the training tokens (0-1) that count in the loss; it takes packed data to know.
        memory: the estimate in bytes, of each GPU or of all processes on the processor; in a static plan ``auto`` precision counts as fp32.
        memory_available: bytes free on the device; in a static plan None for a GPU.
        disk_bytes: what the run's folder grows to, in bytes.
        seconds: of training and evaluation of all variants, projected from `measured_steps` real steps of each variant;
            GPUs are taken to share a step without loss.
        tokens_per_second: of the student's training steps.
        teacher_help: what the teacher knows of the held-out text beside the student; None where it was not measured.
    """

    fits: bool = False
    checks: tuple[Check, ...] = ()
    teacher: ModelSize | None = None
    student: ModelSize | None = None
    trainable_parameters: int | None = None
    layer_map: LayerMap | None = None
    tokens_per_step: int = 0
    processes: int = 1
    total_steps: int | None = None
    counted_share: float | None = None
    memory: Memory | None = None
    memory_available: int | None = None
    disk_bytes: int | None = None
    seconds: float | None = None
    measured_steps: int = 0
    tokens_per_second: float | None = None
    teacher_help: TeacherHelp | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self) | {"teacher_help": self.teacher_help.to_dict() if self.teacher_help is not None else None}


def compute_bytes(train: TrainSpec) -> int:
    """Return the bytes of a number as far as the configuration tells: which format ``auto`` takes depends on the device."""
    return 2 if train.precision == "bf16" else memory.FP32


def computes_on_gpu(train: TrainSpec) -> bool:
    """Return whether a GPU will compute, as far as the system tells."""
    try:
        return preflight.require_device(train.device) != "cpu"
    except DeviceError:
        return train.device != "cpu"


def concluded(planned: Plan, found: PreflightReport) -> Plan:
    """Return the plan with the checks that were made, and whether all of them hold."""
    return replace(planned, fits=found.hold, checks=tuple(found.by_name.values()))
