"""What of a run cannot be sharded, as far as only the run itself shows (the rest is known from its recipe), and when its teacher is."""

from __future__ import annotations

from dataclasses import asdict

import torch
from transformers import PreTrainedModel

from core.config import TrainSpec
from core.errors import CompatibilityError, ConfigError, SetField
from core.methods.orders import Order
from core.methods.run_folder import RunFolder
from core.models.ensembles import members_of
from core.models.entries import LoadedModel
from core.system import ranks
from core.training.sharding import is_sharded, shard


def require_several(train: TrainSpec, folder: RunFolder) -> None:
    """Raise ConfigError if one process begins a run whose weights several should share out; what several began it may finish."""
    if train.sharding != "none" and ranks.world() == 1 and not (folder.path / "checkpoints").is_dir():
        raise ConfigError(f"train.sharding is {train.sharding}, and there is one process.",
                          "Weights are shared out among two processes or more.",
                          "Raise train.processes, or keep the weights whole.", suggestion=SetField("train.sharding", "none"))


def require_one_model(train: TrainSpec, teacher: LoadedModel) -> None:
    """Raise CompatibilityError if the teacher whose weights should be shared out is an ensemble."""
    if train.sharding != "none" and members_of(teacher.model):
        raise CompatibilityError(f"train.sharding is {train.sharding}, and the teacher is an ensemble.",
                                 "The weights of one model are shared out, not of several.",
                                 "Keep the weights whole, or take one teacher.", suggestion=SetField("train.sharding", "none"))


def shard_teacher(teacher: PreTrainedModel, device: torch.device, order: Order) -> None:
    """Share out the teacher's weights, once; every process of a run does.

    It is done when the first student is built of them, before anything is measured.

    Args:
        order: what the others need to load the same teacher; rank 0 sends it.
    """
    if is_sharded(teacher):
        return
    if ranks.rank() == 0:
        ranks.send({"shard": asdict(order)})
    shard(teacher, device)
