"""The distribution that agrees best with a generalist and its relevant specialists (1503.02531, section 5.5).

For an item, q minimises

    F(q) = KL(p^g || q) + sum over relevant m of KL(p^m || q_m)

where q_m keeps q on the specialist's classes S^m and sums the rest into one outcome, the dustbin. The paper takes gradient descent on
the logits of q for each item. Here q is a monotone fixed point: with the dustbin's mass shared out among the other classes in proportion
to q, the terms are those of expectation maximisation (Dempster, Laird and Rubin 1977), so that F never rises:

    q_i <- (p^g_i + sum_m r^m_i) / (1 + |A|),   r^m_i = p^m_i for i in S^m, else p^m_dustbin q_i / sum over j not in S^m of q_j

Where no specialist is relevant, q is p^g. Shapes: N items, C classes, S classes of a specialist.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

TOLERANCE = 1e-12  # largest change of a probability in the last round
MAX_ROUNDS = 20_000  # some ten are usual; many where specialists contradict each other with certainty
FLOOR = 1e-300  # of a probability in a quotient or a logarithm; below it float64 has no normal numbers
GRADIENT_TOLERANCE = 1e-10  # largest slope at which gradient descent ends


@dataclass(frozen=True, eq=False)
class Opinion:
    """What a specialist says of a batch.

    Attributes:
        classes: S^m in the order of the columns.
        probabilities: (N, S + 1); the last column is the dustbin.
        relevant: (N,) whether it counts for an item.
    """

    classes: tuple[int, ...]
    probabilities: np.ndarray
    relevant: np.ndarray


@dataclass(frozen=True, eq=False)
class Combined:
    """The combined answer.

    Attributes:
        probabilities: (N, C).
        rounds: of the fixed point until the last item had converged.
        converged: (N,) whether the last round changed no probability by more than `TOLERANCE`.
    """

    probabilities: np.ndarray
    rounds: int
    converged: np.ndarray


def is_relevant(generalist: np.ndarray, classes: Sequence[int], top: int = 1) -> np.ndarray:
    """Return (N,) whether one of the generalist's `top` likeliest classes is among a specialist's (the paper: 1)."""
    likeliest = np.argsort(-generalist, axis=1, kind="stable")[:, :top]  # (N, top)
    return np.asarray(np.isin(likeliest, classes).any(axis=1))


def combine(generalist: np.ndarray, opinions: Sequence[Opinion]) -> Combined:
    """Return the fixed point for each item, started at the generalist.

    Args:
        generalist: (N, C) probabilities.
        opinions: of all specialists.
    """
    start = np.asarray(generalist, dtype=np.float64)
    result = start.copy()
    items = np.flatnonzero(np.any([each.relevant for each in opinions], axis=0)) if opinions else np.zeros(0, dtype=int)
    converged = np.ones(len(start), dtype=bool)
    converged[items] = False
    rounds = 0
    while len(items) and rounds < MAX_ROUNDS:
        rounds += 1
        before = result[items]
        after = _round(start[items], before, _of_items(opinions, items))
        result[items] = after
        settled = np.abs(after - before).max(axis=1) <= TOLERANCE
        converged[items[settled]] = True
        items = items[~settled]
    return Combined(result, rounds, converged)


def _of_items(opinions: Sequence[Opinion], items: np.ndarray) -> list[Opinion]:
    return [Opinion(each.classes, each.probabilities[items], each.relevant[items]) for each in opinions]


def _round(start: np.ndarray, current: np.ndarray, opinions: Sequence[Opinion]) -> np.ndarray:
    """Return the next q; start, current: (n, C)."""
    total, voices = start.copy(), np.ones(len(start))
    for opinion in opinions:
        chosen, others = opinion.relevant, _others(opinion.classes, start.shape[1])
        said, held = opinion.probabilities[chosen], current[chosen]
        shares = np.empty_like(held)
        shares[:, list(opinion.classes)] = said[:, :-1]
        shares[:, others] = said[:, -1:] * _proportions(held[:, others])
        total[chosen] += shares
        voices += chosen
    return total / voices[:, None]


def _proportions(rest: np.ndarray) -> np.ndarray:
    """Return (n, R) rows that sum to 1; equal parts where all of a row has underflowed to 0."""
    mass = rest.sum(axis=1, keepdims=True)
    return np.where(mass > FLOOR, rest / np.maximum(mass, FLOOR), 1 / rest.shape[1])


def _others(classes: Sequence[int], count: int) -> np.ndarray:
    return np.setdiff1d(np.arange(count), classes)


def objective(generalist: np.ndarray, opinions: Sequence[Opinion], combined: np.ndarray) -> np.ndarray:
    """Return (N,) F(q) in nats."""
    total = _divergence(generalist, combined)
    for opinion in opinions:
        others = _others(opinion.classes, combined.shape[1])
        collapsed = np.concatenate([combined[:, list(opinion.classes)], combined[:, others].sum(axis=1, keepdims=True)], axis=1)
        total = total + np.where(opinion.relevant, _divergence(opinion.probabilities, collapsed), 0.0)
    return total


def _divergence(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    return np.where(p > 0, p * (np.log(np.maximum(p, FLOOR)) - np.log(np.maximum(q, FLOOR))), 0.0).sum(axis=1)


def combine_by_gradient(generalist: np.ndarray, opinions: Sequence[Opinion]) -> np.ndarray:
    """Return (N, C) from gradient descent on the logits of each item, as the paper has it: what the fixed point is checked against.

    The gradients are torch's, of F written as cross-entropies; steps and their lengths are those of BFGS, without which items on which
    specialists contradict each other take more steps than anyone waits for. In float64.
    """
    import torch
    from scipy.optimize import minimize

    count = generalist.shape[1]
    result = np.empty_like(generalist, dtype=np.float64)
    for item, start in enumerate(np.asarray(generalist, dtype=np.float64)):
        said = [(list(each.classes), _others(each.classes, count), torch.from_numpy(each.probabilities[item].astype(np.float64)))
                for each in opinions if each.relevant[item]]
        target = torch.from_numpy(start)

        def value_and_slope(logits: np.ndarray, target: torch.Tensor = target, said: list[Any] = said) -> tuple[float, np.ndarray]:
            leaf = torch.from_numpy(logits).requires_grad_()
            log_q = leaf.log_softmax(0)
            loss = -(target * log_q).sum()
            for classes, others, probabilities in said:
                loss = loss - (probabilities * torch.cat([log_q[classes], log_q[others].logsumexp(0, keepdim=True)])).sum()
            (slope,) = torch.autograd.grad(loss, leaf)
            return loss.item(), slope.numpy()

        found = minimize(value_and_slope, np.log(np.maximum(start, 1e-12)), jac=True, method="BFGS", options={"gtol": GRADIENT_TOLERANCE})
        result[item] = torch.from_numpy(found.x).softmax(0).numpy()
    return result
