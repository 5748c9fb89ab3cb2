"""Soft targets of an ensemble: the mean of its members' distributions at a temperature (1503.02531, sections 1 and 2).

    arithmetic   p = sum_m w_m p_m                        p_m = softmax(v_m / T)
    geometric    p = prod_m p_m^{w_m} / sum               log-probabilities are averaged, then renormalised

Shapes: M members, N positions or items, V outcomes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from core.config.ensembles import MixtureMean


def mixed_logits(members: Iterable[Tensor], weights: Sequence[float], mean: MixtureMean, temperature: float) -> Tensor:
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


def fitted_weights(members: Sequence[Tensor], targets: Tensor, mean: MixtureMean) -> tuple[float, ...]:
    """Return the weights under which held-out labels are likeliest: the cross-entropy of the mean at T = 1 is convex in them.

    Args:
        members: (N, V) logits each, of items that no member was trained on.
        targets: (N,) their labels; N is at least 1.
    """
    import numpy as np
    from scipy.optimize import minimize

    log_p = torch.stack([torch.log_softmax(logits.double(), -1) for logits in members])  # (M, N, V)
    right = log_p.gather(-1, targets.expand(len(log_p), -1).unsqueeze(-1)).squeeze(-1)  # (M, N)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        w = torch.from_numpy(weights)
        if mean == "geometric":
            total = torch.einsum("m,mnv->nv", w, log_p)
            value = torch.logsumexp(total, -1) - w @ right
            q = torch.softmax(total, -1)
            slope = torch.einsum("nv,mnv->m", q, log_p) / len(targets) - right.mean(1)
        else:
            p = right.exp()
            mixed = (w @ p).clamp_min(1e-300)
            value, slope = -mixed.log(), -(p / mixed).mean(1)
        return float(value.mean()), slope.numpy()

    count = len(members)
    found = minimize(loss, np.full(count, 1 / count), jac=True, method="SLSQP", bounds=[(0.0, 1.0)] * count,
                     constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones_like(w)})
    weights = np.clip(found.x, 0.0, None)
    return tuple(float(each) for each in weights / weights.sum())
