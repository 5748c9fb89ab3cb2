"""Soft targets of an ensemble: the mean of its members' distributions at a temperature (1503.02531, sections 1 and 2).

    arithmetic   p = sum_m w_m p_m                        p_m = softmax(v_m / T)
    geometric    p = prod_m p_m^{w_m} / sum               log-probabilities are averaged, then renormalised

Shapes: M members, N positions or items, V outcomes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from torch import Tensor

Mean = Literal["arithmetic", "geometric"]


def mixed_logits(members: Iterable[Tensor], weights: Sequence[float], mean: Mean, temperature: float) -> Tensor:
    """Return logits (N, V), float32, whose softmax at the temperature is the members' mean at that temperature.

    Each is T times the mean's log-probability. Members are taken one after the other: one is held beside what is added up.

    Args:
        members: (N, V) logits each, as many as there are weights.
        weights: of the members, not negative, together 1.
        temperature: T, at which distributions are averaged; the geometric mean does not depend on it but for a constant.
    """
    total: Tensor | None = None
    for logits, weight in zip(members, weights, strict=True):
        log_p = torch.log_softmax(logits.float() / temperature, -1)
        if mean == "geometric":
            part = log_p.mul_(weight)
            total = part if total is None else total.add_(part)
        elif weight > 0:
            part = log_p.add_(torch.tensor(weight).log())
            total = part if total is None else torch.logaddexp(total, part)
    assert total is not None, "at least one member counts"
    if mean == "geometric":
        total = torch.log_softmax(total, -1)
    return total.mul_(temperature)
