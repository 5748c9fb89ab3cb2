"""Batches that say what counts where, so that the trainer need not know what is predicted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypedDict, cast

import torch.nn.functional as F
from torch import Tensor

from core.training.sharing import Share


class Batch(TypedDict):
    """What one forward pass is trained on.

    input_ids: (B, T) int64, as the models see them.
    attention_mask: (B, T) int64, 1 at tokens; None where padding cannot be seen.
    targets: (B, T) int64; the target token of each labelled position.
    distill_weights, label_weights, state_weights: (B, T) float32; weight of each position in the distillation loss, in the cross-entropy
        with the targets, and where hidden states are compared.
    """

    input_ids: Tensor
    attention_mask: Tensor | None
    targets: Tensor
    distill_weights: Tensor
    label_weights: Tensor
    state_weights: Tensor


class StepSeed(NamedTuple):
    """What everything that is drawn for a step depends on: the run's seed and the optimiser step, whichever process draws it."""

    seed: int
    step: int
    stream: int = 0


Batches = Callable[[Sequence[dict[str, Tensor]], StepSeed], list[Batch]]


def causal_lm_batches(blocks: Sequence[dict[str, Tensor]], _draw: StepSeed | None = None) -> list[Batch]:
    """Causal batches of blocks; the last position predicts what the block does not hold."""
    batches: list[Batch] = []
    for block in blocks:
        targets, counts = (F.pad(block[part][:, 1:], (0, 1)) for part in ("input_ids", "weights"))
        batches.append(Batch(input_ids=block["input_ids"], attention_mask=None, targets=targets, distill_weights=counts,
                             label_weights=counts, state_weights=counts))
    return batches


def rows_of(batch: Batch, share: Share) -> Batch:
    """Return rows of a batch; those of an idle share count nowhere."""
    rows = {part: value[share.start:share.stop] if isinstance(value, Tensor) else None for part, value in batch.items()}
    if share.idle:
        rows |= {part: value * 0 for part, value in rows.items() if part.endswith("_weights") and value is not None}
    return cast(Batch, rows)
