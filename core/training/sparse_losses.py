"""Divergences from teachers that list some tokens of the vocabulary: the top k with their tail, or a sparse distribution.

Shapes: N positions, V vocabulary, K listed tokens. z are the student's logits (N, V), float32; q = softmax(z / T). As in
`core.training.losses`, a term returns its value per position and its gradient with respect to z.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from core.signals.targets import Sampled, TopK


def bucketed(term: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], z: Tensor, v: TopK, temperature: float) -> tuple[Tensor, Tensor]:
    """Return a divergence over K + 1 outcomes: each listed token, and any other one.

    It is a divergence between two distributions, and at most that over the vocabulary (data processing inequality). Without the last
    outcome it would be none: it can be lowered by moving mass off the listed tokens, or below 0 (2503.16870).
    Gradient: with b(j) the outcome of token j, q_j / q_b(j) times that of the outcome's logit T log q_b.

    Args:
        term: divergence of two sets of logits (N, K + 1) at `temperature`.
    """
    log_q = torch.log_softmax(z / temperature, -1)
    listed = log_q.gather(-1, v.ids).masked_fill_(v.unused, -torch.inf)
    others = log_q.scatter(-1, v.ids, -torch.inf)
    tail = others.logsumexp(-1, keepdim=True)  # summed, not subtracted from 1: exact where little is left
    outcomes = torch.cat([listed, tail], -1).mul_(temperature)
    value, gradient = term(outcomes, torch.cat([v.log_p, v.log_tail.unsqueeze(-1)], -1).mul_(temperature))
    shares = others.sub_(torch.where(tail.isfinite(), tail, 0.0)).exp_()  # of each token in the tail; 0 for those listed
    # Unused places add 0 to the first listed token.
    return value, shares.mul_(gradient[:, -1:]).scatter_add_(-1, v.ids, gradient[:, :-1].masked_fill(v.unused, 0.0))


def sparse_kl(z: Tensor, v: Sampled, temperature: float) -> tuple[Tensor, Tensor]:
    """Return -sum_i t_i log q_i - H, for a sparse distribution t that stands for one whose entropy is H.

    Where t is drawn from the teacher's p, counts over draws, value and gradient are unbiased estimates of those of KL(p || q) (RS-KD,
    2503.16870); where t is the likeliest tokens renormalised, it is KL(t || q), which inflates what is kept.
    Gradient: (q - t) / T.
    """
    log_q = torch.log_softmax(z / temperature, -1)
    value = -(v.weights * log_q.gather(-1, v.ids)).sum(-1) - v.entropy
    # Unused places add 0 to token 0.
    return value, log_q.exp_().scatter_add_(-1, v.ids, -v.weights).div_(temperature)
