"""Which device a queued run may take: one run a device, found without importing torch.

A slot is named as torch names the device: ``cpu``, ``cuda:0``, ``cuda:1``. A run that leaves the choice open gets the
first free GPU and sees no other, so that its own ``auto`` finds exactly that one.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Collection
from functools import cache
from pathlib import Path

VISIBLE = "CUDA_VISIBLE_DEVICES"


def choose_slot(requested: str, busy: Collection[str]) -> str | None:
    """The slot for a run whose config asks for device `requested`, or None while every slot that would do is busy."""
    if requested in ("auto", "cuda"):
        slots = [f"cuda:{number}" for number in range(len(visible_gpus()))] or ["cpu" if requested == "auto" else "cuda:0"]
    else:
        slots = [requested]
    return next((slot for slot in slots if slot not in busy), None)


def slot_environment(requested: str, slot: str) -> dict[str, str]:
    """Environment variables that hold a run with an open choice to its slot."""
    gpus = visible_gpus()
    if requested in ("auto", "cuda") and slot.startswith("cuda:") and gpus:
        return {VISIBLE: gpus[int(slot.removeprefix("cuda:"))]}
    return {}


def visible_gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES would call each GPU that a process started here could use."""
    restricted = os.environ.get(VISIBLE)
    if restricted is not None:
        listed = [entry.strip() for entry in restricted.split(",")]
        # CUDA ignores everything from the first invalid entry on; "" and "-1" are the ways to say none.
        return listed[:next((i for i, entry in enumerate(listed) if entry in ("", "-1")), len(listed))]
    return [str(number) for number in range(_gpu_count())]


@cache
def _gpu_count() -> int:
    present = [path for path in Path("/dev").glob("nvidia*") if re.fullmatch(r"nvidia\d+", path.name)]
    if present:
        return len(present)
    nvidia_smi = shutil.which("nvidia-smi")  # Windows and WSL have no such device files
    if nvidia_smi is None:
        return 0
    try:
        listed = subprocess.run([nvidia_smi, "-L"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return 0
    return len(re.findall(r"^GPU \d+:", listed, re.MULTILINE))
