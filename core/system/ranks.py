"""Several processes that train one model together: which of them this one is, and what they say to each other.

``torch.distributed.run``, ``accelerate launch`` or a cluster starts them, and tells each who it is by `VARIABLES`. Rank 0 carries an
experiment out as if it were alone; the others wait for what it trains and train it with it (`core.methods.following`).

Libraries take a process for one of several wherever these variables are set. They are set inside `together` alone: all else, as
evaluations and the fine-tunings of a retention card, is rank 0's own work.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
PATIENCE = timedelta(days=7)  # rank 0 evaluates for as long as it takes; a process that died is noticed by whoever started them


@dataclass(frozen=True, slots=True)
class _Group:
    """The place of this process among those that it has joined."""

    rank: int
    world: int
    local_rank: int
    environment: Mapping[str, str]


_group: _Group | None = None


def started_together() -> int:
    """Return how many processes were started together with this one, itself included, before or after they have joined."""
    if _group is not None:
        return _group.world
    number = os.environ.get("WORLD_SIZE", "")
    return int(number) if number.isdecimal() and int(number) > 1 else 1


def join(device: str) -> None:
    """Connect to the processes that were started together with this one; nothing where there are none, and the second time.

    Args:
        device: as in ``train.device``.
    """
    global _group
    if _group is not None or started_together() == 1:
        return
    import torch

    found = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    local_rank, on_gpu = int(found.get("LOCAL_RANK", "0")), device != "cpu" and torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(local_rank)
    torch.distributed.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=PATIENCE)
    _group = _Group(torch.distributed.get_rank(), torch.distributed.get_world_size(), local_rank, found)
    for name in found:
        del os.environ[name]


def leave(code: int) -> None:
    """End this process with an exit code, without tearing the interpreter down, where it has joined others; else do nothing.

    Threads of a wrapped model, which exchange gradients, may still run and would abort it.
    """
    if _group is not None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def joined() -> bool:
    """Return whether this process has joined others."""
    return _group is not None


def rank() -> int:
    """Return the number of this process; 0 carries the experiment out, alone or not."""
    return _group.rank if _group is not None else 0


def world() -> int:
    """Return how many processes have joined, itself included."""
    return _group.world if _group is not None else 1


def local_rank() -> int:
    """Return the number of this process among those of its machine, which is the number of its GPU."""
    return _group.local_rank if _group is not None else int(os.environ.get("LOCAL_RANK", "0"))


@contextmanager
def together() -> Iterator[None]:
    """Let libraries see, inside the block, that this process is one of several."""
    environment = _group.environment if _group is not None else {}
    os.environ.update(environment)
    try:
        yield
    finally:
        for name in environment:
            os.environ.pop(name, None)


def send(message: Mapping[str, Any]) -> None:
    """Send plain data from rank 0 to all others; nothing where there are none."""
    if _group is not None:
        import torch

        torch.distributed.broadcast_object_list([json.dumps(message)], src=0, device=torch.device("cpu"))


def receive() -> dict[str, Any]:
    """Wait for what rank 0 sends."""
    import torch

    parts: list[Any] = [None]
    torch.distributed.broadcast_object_list(parts, src=0, device=torch.device("cpu"))
    received: dict[str, Any] = json.loads(parts[0])
    return received


def agree(flags: Sequence[bool]) -> list[bool]:
    """Return of each flag whether any process raises it. Every process has to call this."""
    import torch

    raised = torch.tensor(flags, dtype=torch.int32)
    torch.distributed.all_reduce(raised, torch.distributed.ReduceOp.MAX)
    return [bool(each) for each in raised.tolist()]


def gather(numbers: Sequence[float]) -> list[list[float]]:
    """Return the numbers of every process, by rank. Every process has to call this, with as many numbers."""
    import torch

    own = torch.tensor(numbers, dtype=torch.float64)
    each = [torch.empty_like(own) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(each, own)
    return [numbers.tolist() for numbers in each]


def gather_texts(text: str) -> list[str]:
    """Return the text of every process, by rank. Every process has to call this."""
    import torch

    each = [""] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(each, text)
    return each


def add_up(numbers: np.ndarray) -> None:
    """Add the numbers of all processes up, in place. Every process has to call this, with an array of the same shape."""
    import torch

    torch.distributed.all_reduce(torch.from_numpy(numbers))
