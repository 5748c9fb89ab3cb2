"""Which device a queued run may take: one run a device, found without importing torch.

A slot is named as torch names the device: ``cpu``, ``cuda:0``, ``cuda:1``. A run that leaves the choice open gets the
first free GPU and sees no other, so that its own ``auto`` finds exactly that one.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping

from core.system import machine
from core.system.machine import VISIBLE

GPUS = "STILLHOUSE_GPUS"  # in a worker: CUDA_VISIBLE_DEVICES of whoever began the queue
ALL = "all"


def choose_slot(requested: str, busy: Collection[str]) -> str | None:
    """Return the slot for a run whose config asks for device `requested`, or None while every slot that would do is busy."""
    if requested in ("auto", "cuda"):
        slots = [f"cuda:{number}" for number in range(len(visible_gpus()))] or ["cpu" if requested == "auto" else "cuda:0"]
    else:
        slots = [requested]
    return next((slot for slot in slots if slot not in busy), None)


def slot_environment(requested: str, slot: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a worker: a run with an open choice is restricted to its slot, any other counts the GPUs from the first.

    A worker starts the next run too, on any slot, so it also receives which GPUs there were before it was restricted to one.
    """
    mask, gpus = _mask(environment), visible_gpus(environment)
    changed = {key: value for key, value in environment.items() if key != VISIBLE}
    if requested in ("auto", "cuda") and slot.startswith("cuda:") and gpus:
        changed[VISIBLE] = gpus[int(slot.removeprefix("cuda:"))]
    elif mask is not None:
        changed[VISIBLE] = mask
    return changed | {GPUS: ALL if mask is None else mask}


def visible_gpus(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return what CUDA_VISIBLE_DEVICES calls each GPU that runs may use."""
    return machine.visible_gpus(_mask(environment))


def _mask(environment: Mapping[str, str]) -> str | None:
    mask = environment.get(GPUS, environment.get(VISIBLE))
    return None if mask == ALL else mask
