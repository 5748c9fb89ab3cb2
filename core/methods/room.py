"""Free disk for what a run keeps: checkpoints while it trains, and its models."""

from __future__ import annotations

import shutil
from pathlib import Path

from core.errors import DiskFullError
from core.system.units import format_gib

FP32 = 4


def stored_bytes(precision: str) -> int:
    """Bytes of a number of a saved model: 4 in fp32, 2 in bf16 and fp16."""
    return FP32 if precision == "fp32" else 2


def run_bytes(parameters: int, trainable: int, *, adapters: bool, variants: int, precision: str) -> int:
    """Return the bytes that a run's folder grows to, at most.

    Of each variant two checkpoints stay and a third is written before one of them goes: weights, of adapters alone where there are
    any, and AdamW's two moments. Of models there are those of the variants and the student before training.

    Args:
        parameters, trainable: of the student.
        precision: of the saved weights, as `core.models.header.precision_of` gives it.
    """
    checkpoint = FP32 * (trainable if adapters else parameters) + 2 * FP32 * trainable
    return (2 * variants + 1) * checkpoint + (variants + 1) * stored_bytes(precision) * parameters


def require_room(folder: Path, needed: int, *, within: Path | None = None) -> str:
    """Check that a disk has room.

    Args:
        folder: where it is needed; it or a folder above it exists.
        needed: bytes.
        within: a folder whose files are a part of what is needed, and already there.

    Raises:
        DiskFullError: less is free.
    """
    while not folder.exists():
        folder = folder.parent
    there = sum(path.stat().st_size for path in within.rglob("*") if path.is_file()) if within is not None else 0
    free = shutil.disk_usage(folder).free
    if free + there < needed:
        raise DiskFullError(f"The run writes up to {format_gib(needed)} of checkpoints and models.",
                            f"'{folder}' has {format_gib(free)} left.", "Make room, or set STILLHOUSE_HOME to a folder on a larger disk.")
    return f"{format_gib(needed)} at most for checkpoints and models; {format_gib(free)} are free."
