"""Which device a queued run may take: one run a device, found without importing torch.

A slot is named as torch names the device: ``cpu``, ``cuda:0``; ``cuda:0,cuda:1`` for a run of several processes. A run that leaves the
choice open gets the first free GPU and sees no other, so that its own ``auto`` finds exactly that one.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping

from core.system import machine
from core.system.machine import VISIBLE

GPUS = "STILLHOUSE_GPUS"  # in a worker: CUDA_VISIBLE_DEVICES of whoever began the queue
ALL = "all"


def choose_slot(requested: str, busy: Collection[str], processes: int | str = 1) -> str | None:
    """Return the slot for a run, of several GPUs where it trains in several processes, or None while too few are free.

    Args:
        requested, processes: ``train.device`` and ``train.processes`` of its recipe.
        busy: devices that other runs have.
    """
    slots, count = suitable(requested), machine.process_count(processes, requested, len(visible_gpus()))
    free = [slot for slot in slots if slot not in busy]
    if slots == ["cpu"] or len(slots) < count:  # the processor is one device; and of too many processes the engine will say so
        count = 1
    return ",".join(free[:count]) if len(free) >= count else None


def suitable(requested: str) -> list[str]:
    """Return the devices that a run may take. While it waits for them, no run behind it takes one: large runs would wait for ever."""
    if requested in ("auto", "cuda"):
        return [f"cuda:{number}" for number in range(len(visible_gpus()))] or ["cpu" if requested == "auto" else "cuda:0"]
    return [requested]


def devices_of(slot: str) -> list[str]:
    """Return the devices of a slot."""
    return slot.split(",")


def slot_environment(requested: str, slot: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a worker: a run with an open choice is restricted to its slot, any other counts the GPUs from the first.

    A worker starts the next run too, on any slot, so it also receives which GPUs there were before it was restricted to one.
    """
    mask, gpus = _mask(environment), visible_gpus(environment)
    changed = {key: value for key, value in environment.items() if key != VISIBLE}
    if requested in ("auto", "cuda") and slot.startswith("cuda:") and gpus:
        changed[VISIBLE] = ",".join(gpus[int(device.removeprefix("cuda:"))] for device in devices_of(slot))
    elif mask is not None:
        changed[VISIBLE] = mask
    return changed | {GPUS: ALL if mask is None else mask}


def visible_gpus(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return what CUDA_VISIBLE_DEVICES calls each GPU that runs may use."""
    return machine.visible_gpus(_mask(environment))


def _mask(environment: Mapping[str, str]) -> str | None:
    mask = environment.get(GPUS, environment.get(VISIBLE))
    return None if mask == ALL else mask
