"""Terms as their papers define them, with plain loops, for tests to compare with."""

from __future__ import annotations

from collections.abc import Callable

import torch

from core.training import losses
from core.training.losses import LogitTerm

N, V, D = 7, 23, 8  # positions, vocabulary, width


def naive_kl(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """sum_i a_i log(a_i / b_i), written with plain loops over positions."""
    return torch.stack([sum(x * (x.log() - y.log()) for x, y in zip(row_a, row_b, strict=True)) for row_a, row_b in zip(a, b, strict=True)])


def naive(name: str, z: torch.Tensor, v: torch.Tensor, temperature: float, beta: float) -> torch.Tensor:
    p, q = torch.softmax(v / temperature, -1), torch.softmax(z / temperature, -1)
    if name == "forward_kl":
        return naive_kl(p, q)
    if name == "reverse_kl":
        return naive_kl(q, p)
    m = beta * p + (1 - beta) * q
    return beta * naive_kl(p, m) + (1 - beta) * naive_kl(q, m)


def kd_and_hard(divergence: Callable[..., losses.Term] | None, kd: float, hard: float) -> tuple[LogitTerm, LogitTerm]:
    """Return the two terms with these factors."""
    return (LogitTerm("kd", divergence, kd, needs_teacher=True),
            LogitTerm("hard", losses.cross_entropy, hard, needs_teacher=False, value=losses.LOGIT_LOSSES["hard"].value))
