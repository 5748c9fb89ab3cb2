"""Models whose weights are shared out among the processes of a run, for where they do not fit one device (FSDP2; ZeRO, 1910.02054).

A process keeps an equal part of every block and gathers a block's weights only while the block computes. Embeddings, final norm and head
are gathered for as long as the model computes, since losses multiply by the head's matrix outside of the model. accelerate shards on GPUs
alone, and Transformers only what it reads from a folder whose training is never resumed; torch's `fully_shard` is under both.

Every process has to take part whenever a block is gathered. In training and evaluations they compute in step. Else rank 0
computes alone, and names to the others each block that it is about to compute with: they hand over their parts (`serve`), and compute
nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from core.models.architectures import blocks, plain_model
from core.models.forward import forward
from core.system import ranks

_models: list[nn.Module | None] = []  # in the order in which they were sharded, the same in every process
_alone = True  # rank 0 computes, and the others hand over their parts


def is_sharded(model: nn.Module) -> bool:
    """Return whether a model's weights are shared out."""
    return isinstance(model, FSDPModule)


def shard(model: nn.Module, device: torch.device) -> None:
    """Share a model's weights out, in place. Every process calls it, with the same weights.

    Args:
        model: anywhere; a block at a time passes through `device`, on which its parts stay.
    """
    mesh, number = init_device_mesh(device.type, (ranks.world(),)), len(_models)
    plain = plain_model(model)
    for index, block in enumerate(blocks(plain)):
        fully_shard(block, mesh=mesh, reshard_after_forward=True)
        if ranks.rank() == 0:
            block.register_forward_pre_hook(partial(_announce, number, index), prepend=True)
    fully_shard(plain, mesh=mesh)
    with computing_together(), torch.no_grad():
        # The first pass tells torch which module is the outermost, and must not be one of inference mode, whose tensors are never trained.
        ids = torch.zeros((1, 2), dtype=torch.long, device=device)
        forward(plain, ids, torch.ones_like(ids))
        _models.append(plain)


def any_sharded() -> bool:
    """Return whether a step may compute with a sharded model, so that all processes make its forward passes in step."""
    return any(model is not None for model in _models)


def release_all() -> None:
    """Forget all sharded models, at the end of a run; in every process."""
    _models.clear()


def release(model: nn.Module) -> None:
    """Forget a sharded model that is trained; in every process."""
    _models[_models.index(plain_model(model))] = None


def _announce(number: int, index: int, *_: Any) -> None:
    if _alone:
        ranks.send({"gather": [number, index]})


def serve(message: Mapping[str, Any]) -> bool:
    """Hand over parts of the block that rank 0 computes with; return whether the message requests one."""
    if "gather" not in message:
        return False
    number, index = message["gather"]
    model = _models[number]
    assert model is not None, "rank 0 computes with models that are there"
    block = cast(FSDPModule, blocks(model)[index])
    block.unshard()
    block.reshard()
    return True


@contextmanager
def computing_together() -> Iterator[None]:
    """Let all processes compute in step inside the block; every process enters it."""
    with _mode(alone=False):
        yield


@contextmanager
def rank_0_alone() -> Iterator[None]:
    """Let rank 0 compute alone inside the block, while the others `serve`; every process enters it."""
    with _mode(alone=True):
        yield


@contextmanager
def measuring_together() -> Iterator[None]:
    """Let all processes compute in step without gradients, inside `rank_0_alone` or outside of any block; every process enters it."""
    global _alone
    before, _alone = _alone, False
    try:
        yield
    finally:
        _alone = before


@contextmanager
def _mode(*, alone: bool) -> Iterator[None]:
    global _alone
    before = _alone
    _begin(alone)
    _alone = alone
    try:
        yield
    finally:
        _alone = before
    _begin(before)  # not after an error, which some processes may not have: gathering would wait for them


def _begin(alone: bool) -> None:
    for model in _models:
        if isinstance(model, FSDPModule):
            model.reset_iter_state()  # what one process has computed alone is no order in which all would gather again
            if alone:
                model.unshard()


def blank_copy(model: nn.Module) -> nn.Module:
    """Return a copy of a model that holds no weights, to be filled with them again."""
    memory = {id(parameter): nn.Parameter(torch.empty_like(parameter, device="meta"), parameter.requires_grad)
              for parameter in model.parameters()}
    return copy.deepcopy(model, memory)


def filled(blank: nn.Module, model: nn.Module) -> nn.Module:
    """Return on rank 0 the blank copy of a sharded model with its weights, in the processor's memory; every process calls it."""
    weights = get_model_state_dict(plain_model(model), options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    if ranks.rank() == 0:
        blank.load_state_dict({name: weights[name] for name in blank.state_dict()}, assign=True)
        plain_model(blank).tie_weights()
    return blank
