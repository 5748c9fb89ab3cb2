"""Bias correction: a class that the transfer set lacked is given back its share (1503.02531, section 3).

A student that never saw a class on its own has learnt it from the soft targets of others, and only the bias of its output is wrong.
Adding b to the logit of that class puts it right; for a transfer set of few classes, a negative b is added to theirs.

Shapes: N items, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from core.errors import CompatibilityError, DataError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

GRID = tuple(step / 10 for step in range(-200, 201))  # nats that are tried


@dataclass(frozen=True, slots=True)
class Shift:
    """A chosen shift.

    Attributes:
        b: nats that are added to the logits.
        accuracy: on the items that it was chosen on, 0 to 1.
    """

    b: float
    accuracy: float


def shifted(logits: Tensor, classes: Sequence[int], b: float) -> Tensor:
    """Return logits (N, C) with b added to those of some classes."""
    result = logits.clone()
    result[:, list(classes)] += b
    return result


def choose_shift(logits: Tensor, targets: Tensor, classes: Sequence[int], grid: Sequence[float] = GRID) -> Shift:
    """Return the b of a grid with the highest accuracy on held-out items; in the middle of the range where several are as good.

    Args:
        logits: (N, C) of items that nothing was measured on; the paper chose on its test items, which flatters.
        targets: (N,).

    Raises:
        DataError: a class is absent from the items, so that nothing would speak against any b.
    """
    absent = sorted(set(classes) - set(targets.tolist()))
    if absent:
        raise DataError(f"No item of class {', '.join(map(str, absent))} is among those that b is chosen on.",
                        "At least one of each shifted class was expected.", "Hold more items out: images.validation_fraction.",
                        field="images.validation_fraction")
    accuracies = [float((shifted(logits, classes, b).argmax(1) == targets).float().mean()) for b in grid]
    best = max(accuracies)
    first = accuracies.index(best)
    last = first
    while last + 1 < len(grid) and accuracies[last + 1] == best:
        last += 1
    return Shift(grid[(first + last) // 2], best)


@torch.no_grad()
def shift_bias(model: PreTrainedModel, classes: Sequence[int], b: float) -> None:
    """Add b to the bias of some classes of a classifier, in place.

    Raises:
        CompatibilityError: its last layer has no bias.
    """
    outputs = model.config.num_labels
    last = [module for module in model.modules() if isinstance(module, nn.Linear) and module.out_features == outputs]
    if not last or last[-1].bias is None:
        raise CompatibilityError("The model's last layer has no bias.", "One for each class was expected.",
                                 "Shift its logits (`shifted`) in place of its bias.")
    last[-1].bias[list(classes)] += b
