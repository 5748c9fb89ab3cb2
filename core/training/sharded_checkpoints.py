"""Checkpoints of sharded models, which any number of processes resumes; and sharded models that resume from other checkpoints.

    <checkpoint>/sharded/     weights and moments by torch.distributed.checkpoint, a file of each process

What is read is cut as the reader needs it: by the names of parameters, not by the process that wrote them.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn
from torch.distributed import checkpoint as distributed
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.optim import Optimizer

from core.system import ranks

FOLDER = "sharded"
MODEL, OPTIMISER = "model", "optimizer"  # folders of it
BY_NAME = StateDictOptions(flatten_optimizer_state_dict=True)
WHOLE = StateDictOptions(full_state_dict=True)


def is_sharded_checkpoint(checkpoint: Path) -> bool:
    """Return whether a checkpoint is one of sharded models."""
    return (checkpoint / FOLDER).is_dir()


def save_model(checkpoint: Path, model: nn.Module) -> None:
    """Write a model's weights; every process calls it."""
    _save(checkpoint / FOLDER / MODEL, get_model_state_dict(model))


def save_optimiser(checkpoint: Path, model: nn.Module, optimiser: Optimizer) -> None:
    """Write an optimiser's moments; every process calls it."""
    _save(checkpoint / FOLDER / OPTIMISER, get_optimizer_state_dict(model, optimiser, options=BY_NAME))


def load_model(checkpoint: Path, model: nn.Module) -> None:
    """Read weights into a model, of which at least one of checkpoint and model is sharded; every process calls it."""
    if not is_sharded_checkpoint(checkpoint):
        weights: dict[str, Any] = {}
        for file in sorted(checkpoint.glob("model*.safetensors")):
            weights |= load_file(file)
        set_model_state_dict(model, weights, options=StateDictOptions(full_state_dict=True, strict=False))  # tied weights are there once
        return
    state = get_model_state_dict(model)
    _load(checkpoint / FOLDER / MODEL, state)
    set_model_state_dict(model, state)


def load_optimiser(checkpoint: Path, model: nn.Module, optimiser: Optimizer) -> None:
    """Read moments into an optimiser; as `load_model`."""
    if not is_sharded_checkpoint(checkpoint):
        plain = torch.load(checkpoint / "optimizer.pt", map_location="cpu", weights_only=True)
        set_optimizer_state_dict(model, optimiser, _by_name(plain, model, optimiser), options=WHOLE)
        return
    state = get_optimizer_state_dict(model, optimiser, options=BY_NAME)
    _load(checkpoint / FOLDER / OPTIMISER, state)
    set_optimizer_state_dict(model, optimiser, state, options=BY_NAME)


def _by_name(plain: dict[str, Any], model: nn.Module, optimiser: Optimizer) -> dict[str, Any]:
    """Return an optimiser's own state, which numbers parameters in the order of its groups, with their names."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    ordered = [names[parameter] for group in optimiser.param_groups for parameter in group["params"]]
    groups = [group | {"params": [ordered[number] for number in group["params"]]} for group in plain["param_groups"]]
    return {"state": {ordered[number]: value for number, value in plain["state"].items()}, "param_groups": groups}


def _save(folder: Path, state: dict[str, Any]) -> None:
    distributed.save(state, checkpoint_id=folder, no_dist=ranks.world() == 1)


def _load(folder: Path, state: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)  # so it is, where one process resumes
        distributed.load(state, checkpoint_id=folder, no_dist=ranks.world() == 1)
