"""Whether products in bf16 are worth their rounding on this processor: measured once, and kept.

A processor that has instructions for bf16 may still run them no faster, in a virtual machine or for the sizes of small models: how
much faster training is with them is seen from training alone.
"""

from __future__ import annotations

import functools
import hashlib
import json
import statistics
import sys
import time
from collections.abc import Callable

from core.system.files import read_json, write_json
from core.system.paths import cache_dir
from core.system.threads import torch_threads

SHAPE = 1024, 384, 1024  # rows, and channels in and out: the feed-forward layer of a house model over four blocks
LEAST_SPEEDUP = 1.1  # of bf16: it rounds to three digits, and has to be worth that
CLEAR, FEWEST = 1.25, 3  # all of so many pairs beyond this factor, on one side, end the measurement
SECONDS = 1.0  # of one core, at most


@functools.cache
def bf16_pays() -> bool:
    """Return whether this processor trains faster in bf16; measured at the first use on a machine, then read from the cache folder."""
    import torch

    # One home may serve several kinds of machines, and several releases of torch.
    known = json.dumps([torch.__version__, dict(torch.cpu.get_capabilities()), SHAPE], sort_keys=True)
    path = cache_dir() / "precision" / f"{hashlib.sha256(known.encode()).hexdigest()[:16]}.json"
    kept = read_json(path)
    if not isinstance(kept, dict) or not isinstance(kept.get("speedup"), float):
        kept = {"speedup": bf16_speedup(layer_seconds), "torch": torch.__version__}
        write_json(path, kept)
    return bool(kept["speedup"] >= LEAST_SPEEDUP)


def bf16_speedup(seconds: Callable[[bool], float]) -> float:
    """Return how many times faster bf16 is than fp32: the median of pairs, one after the other.

    Args:
        seconds: what the same work takes in bf16 (True) and in fp32 (False).
    """
    for bf16 in (False, True):
        seconds(bf16)  # the first call makes ready
    pairs, spent = list[float](), 0.0
    while not pairs or spent < SECONDS:
        exact, rounded = seconds(False), seconds(True)
        pairs.append(exact / rounded)
        spent += exact + rounded
        if len(pairs) >= FEWEST and (min(pairs) > CLEAR or max(pairs) < 1 / CLEAR):
            break
    return statistics.median(pairs)


def layer_seconds(bf16: bool) -> float:
    """Return what a layer takes forwards and backwards as training computes it, weights in fp32, in seconds of one core.

    Seconds of the core, not of the clock: what else the machine does at the time does not count.
    """
    import torch
    from torch.nn.functional import linear

    rows, channels, out = SHAPE
    clock = time.perf_counter if sys.platform == "win32" else time.thread_time  # that of a thread moves by 16 ms there
    with torch_threads(1):
        states, weight = torch.ones(rows, channels, requires_grad=True), torch.ones(out, channels, requires_grad=True)
        began = clock()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            product = linear(states, weight)
        product.backward(torch.ones_like(product))
        return max(clock() - began, 1e-6)
