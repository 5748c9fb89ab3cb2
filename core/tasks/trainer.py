"""The trainer of tasks: hard labels and the teacher's answers on the logits of a class or of a span's two ends.

A teacher's answers do not change while the student learns: they are computed once, and kept beside the items.

Shapes: B items of a batch, T positions, C classes, N rows of logits: B for classes, 2B (beginnings, then ends) for spans.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Sampler

from core.config import LossSpec
from core.errors import ConfigError, SetField
from core.loss_terms import keys
from core.tasks.encoding import Feature, LengthGroupedSampler, collate
from core.training.base_trainer import BaseTrainer
from core.training.losses import logit_loss, logit_terms, masked_logits
from core.training.sharing import Share

IDLE = "idle"  # in a batch whose rows count nowhere
Item = tuple[Feature, np.ndarray | None]  # a sequence and the teacher's logits for it: (C,), or (2, T)


class Collator:
    """Batches of items, padded on the right.

    Args:
        padding: the padding token's number.
        token_types: whether the model takes them.
    """

    def __init__(self, padding: int, token_types: bool) -> None:
        self.padding, self.token_types = padding, token_types

    def __call__(self, items: Sequence[Item]) -> dict[str, Tensor]:
        """Return what `collate` gives, with ``targets`` (N,) and, with a teacher, ``teacher_logits`` (N, C) or (N, T)."""
        batch = collate([feature for feature, _ in items], self.padding, self.token_types)
        batch["targets"] = torch.tensor([target for targets in zip(*(feature.targets for feature, _ in items), strict=True)
                                         for target in targets])
        teacher_logits = [logits for _, logits in items if logits is not None]
        if teacher_logits:
            assert len(teacher_logits) == len(items), "the teacher answers all items or none"
            batch["teacher_logits"] = torch.from_numpy(_stacked(teacher_logits))
        return batch


def _stacked(answers: Sequence[np.ndarray]) -> np.ndarray:
    if answers[0].ndim == 1:
        return np.stack(answers)
    padded = np.zeros((2, len(answers), max(each.shape[1] for each in answers)), np.float32)
    for row, each in enumerate(answers):
        padded[:, row, :each.shape[1]] = each
    return padded.reshape(-1, padded.shape[-1])


class TaskTrainer(BaseTrainer):
    """Trains an encoder with its new head.

    The gradient of an optimiser step does not depend on how its items are cut into batches: every term is divided by the rows of the
    whole step. Batches hold items of like length. Arguments are those of `BaseTrainer`; `data` is a list of items.
    """

    def __init__(self, model: nn.Module, losses: LossSpec, data: Sequence[Item], *arguments: Any, **named: Any) -> None:
        for key in keys(on="states"):
            weight = getattr(losses, key)
            if weight.start or weight.end:
                raise ConfigError(f"losses.{key} is {weight.start:g}." if weight.start == weight.end else
                                  f"losses.{key} moves from {weight.start:g} to {weight.end:g}.",
                                  "A task is learnt from logits alone: terms on hidden states have no part in it.",
                                  field=f"losses.{key}", suggestion=SetField(f"losses.{key}", 0))
        super().__init__(model, losses, data, *arguments, **named)
        self.lengths = [len(feature) for feature, _ in data]

    def _get_train_sampler(self, _dataset: Any = None) -> Sampler:
        return LengthGroupedSampler(self.lengths, self.args.train_batch_size, self.args.seed)

    def get_batch_samples(self, epoch_iterator: Iterator[dict[str, Tensor]], num_batches: int,
                          device: torch.device) -> tuple[list[dict[str, Tensor]], Tensor]:
        """Return the forward passes of one optimiser step, of several processes those of this one, and the rows of the whole step."""
        batches = list(islice(epoch_iterator, num_batches))
        rows = torch.tensor(float(sum(len(batch["targets"]) for batch in batches)), device=device)
        return (self._own(batches) if self.shared else batches), rows

    def _own(self, batches: Sequence[dict[str, Tensor]]) -> list[dict[str, Tensor]]:
        """Return the forward passes of this process; `{}` where it has none."""
        shares = self.share([len(batch["input_ids"]) for batch in batches])
        passes = [rows_of(batches[share.batch], share) if not share.empty else {} for share in shares]
        self.count_tokens(sum(batch["input_ids"].numel() for batch in batches), sum(
            batch["input_ids"].numel() for batch, share in zip(passes, shares, strict=True) if batch and not share.idle))
        return passes

    def compute_loss(self, model: nn.Module, inputs: dict[str, Tensor], return_outputs: bool = False,
                     num_items_in_batch: Tensor | int | None = None) -> Tensor | tuple[Tensor, dict[str, Any]]:
        """Return the sum of the weighted terms on logits, each a mean over the rows of the step.

        Args:
            num_items_in_batch: the divisor from `get_batch_samples`.
        """
        assert num_items_in_batch is not None, "the loss is divided by the rows of its step"
        weights, inputs = self.current_loss_weights(), dict(inputs)
        idle = inputs.pop(IDLE, None) is not None
        targets, teacher_logits = inputs.pop("targets"), inputs.pop("teacher_logits", None)
        with torch.autocast(targets.device.type, self.dtype, enabled=self.dtype != torch.float32):
            logits = logits_of(model, inputs)
        if len(logits) > len(inputs["input_ids"]):  # places of a span: padding is none
            valid = (inputs["attention_mask"] > 0).repeat(2, 1)
            logits, teacher_logits = masked_logits(logits, valid), None if teacher_logits is None else masked_logits(teacher_logits, valid)
        terms = logit_terms(self.losses, weights, teacher=teacher_logits is not None)
        # Processes average their gradients, while the divisor counts the rows of all of them.
        loss, sums = logit_loss(logits.float(), teacher_logits, targets, terms, num_items_in_batch / self.args.world_size)
        if idle:
            return (0 * loss, {}) if return_outputs else 0 * loss
        for term, total in zip(terms, sums, strict=True):
            self.add_term(term.name, term.factor, total, torch.tensor(float(len(targets)), device=total.device))
        return (loss, {}) if return_outputs else loss


def rows_of(batch: dict[str, Tensor], share: Share) -> dict[str, Tensor]:
    """Return rows of a batch; of a span's rows, beginnings first, those of both halves."""
    size = len(batch["input_ids"])
    parts = {name: torch.cat([half[share.start:share.stop] for half in value.split(size)]) for name, value in batch.items()}
    return parts | ({IDLE: torch.ones(())} if share.idle else {})


def logits_of(model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    """Return the rows of logits of a batch: (B, C), or (2B, T) with the beginnings first."""
    outputs = model(**inputs)
    return torch.cat([outputs.start_logits, outputs.end_logits]) if "start_logits" in outputs else outputs.logits
