"""`transformers.Trainer` of a model whose weights the processes share out, and of checkpoints of such models."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from torch.optim import Optimizer
from transformers import Trainer
from transformers.trainer import SCHEDULER_NAME

from core.training import sharded_checkpoints, sharding


class ShardingTrainer(Trainer):
    """Trains a model, sharded or not, from a checkpoint of either.

    Args:
        model: what is trained.
        sharded: whether the processes share out its weights; then every process makes the trainer.
        named: as of Trainer.

    Attributes:
        in_step: whether a step computes with a sharded model, this one or a teacher.
    """

    def __init__(self, model: nn.Module, sharded: bool, **named: Any) -> None:
        self.sharded, self._blank = sharded, sharding.blank_copy(model) if sharded else None
        if sharded:
            sharding.shard(model, named["args"].device)
        self.in_step = sharding.any_sharded()
        super().__init__(model=model, **named)
        # As for models that Transformers itself has sharded: they are not wrapped, and exchange their gradients themselves.
        self.is_distributed_loading_by_transformers = sharded

    @contextmanager
    def _defer_fsdp_gradient_reduction(self) -> Iterator[None]:
        """Defer nothing: gradients of a sharded model that wait for the last pass of a step would wait whole, in every process."""
        yield

    def whole_model(self) -> nn.Module:
        """Return the model as it was given, on rank 0 with the weights of all processes; every process calls it, once."""
        assert self.model is not None
        if self._blank is None:
            return self.model
        whole = sharding.filled(self._blank, self.model)
        sharding.release(self.model)
        return whole

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if not self.sharded:
            super()._save_optimizer_and_scheduler(output_dir)
            return
        assert self.model is not None and self.optimizer is not None and self.lr_scheduler is not None, "there is something to save"
        sharded_checkpoints.save_optimiser(Path(output_dir), self.model, self._own_optimiser())
        if self.args.should_save:
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / SCHEDULER_NAME)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None or not (self.sharded or sharded_checkpoints.is_sharded_checkpoint(Path(checkpoint))):
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        assert self.model is not None and self.optimizer is not None and self.lr_scheduler is not None, "they are made before"
        sharded_checkpoints.load_optimiser(Path(checkpoint), self.model, self._own_optimiser())
        self.lr_scheduler.load_state_dict(torch.load(Path(checkpoint) / SCHEDULER_NAME, weights_only=True))

    def _own_optimiser(self) -> Optimizer:
        """Return torch's optimiser, which accelerate has wrapped."""
        found: Optimizer = cast(Any, self.optimizer).optimizer
        return found

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the model's weights, for resuming."""
        if not self.sharded:
            super().save_model(output_dir, _internal_call)
            return
        folder = output_dir or self.args.output_dir
        assert folder is not None and self.model is not None, "training_arguments sets a folder"
        sharded_checkpoints.save_model(Path(folder), self.model)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        folder, loaded = Path(resume_from_checkpoint), model or self.model
        if self.sharded or sharded_checkpoints.is_sharded_checkpoint(folder):
            assert loaded is not None, "there is a model to load into"
            sharded_checkpoints.load_model(folder, loaded)
        else:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
