"""What classifiers answer, and how good the answers are.

Shapes: N items, C classes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from core.classification.items import Items
from core.models.forward import eval_mode
from core.recorder import StopRequested

BATCH = 512  # items of a forward pass


def predict_logits(model: nn.Module, items: Items, *, batch: int = BATCH, stop: Callable[[], bool] = lambda: False) -> Tensor:
    """Return a classifier's float32 logits (N, C), on the processor.

    Args:
        stop: called before every batch.

    Raises:
        StopRequested: it said so.
    """
    device, found = next(model.parameters()).device, []
    with eval_mode(model):
        for chosen in torch.arange(len(items)).split(batch):
            if stop():
                raise StopRequested
            found.append(model(**items.batch(chosen, device)).logits.float().cpu())
    return torch.cat(found).clone() if found else torch.empty(0, 0)


def measure(logits: Tensor, targets: Tensor) -> dict[str, float]:
    """Return what answers are judged by.

    Args:
        logits: (N, C); targets: (N,). At least one item.

    Returns:
        ``errors`` (items), ``accuracy`` (0 to 1), ``cross_entropy`` (nats an item).
    """
    wrong = int((logits.argmax(1) != targets).sum())
    return {"errors": float(wrong), "accuracy": 1 - wrong / len(targets),
            "cross_entropy": float(nn.functional.cross_entropy(logits, targets))}


def recall(logits: Tensor, targets: Tensor, label: int) -> float:
    """Return the share of a class's items that are given that class; not a number where there is no such item."""
    own = targets == label
    return float((logits[own].argmax(1) == label).float().mean()) if bool(own.any()) else float("nan")
