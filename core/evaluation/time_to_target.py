"""Time-to-target: how much sooner one training reaches the loss at which another one ends.

    time-to-target ratio = B / max(1, first measured step with CE <= CE of the other at B)

B is the other's last step. Where the target is passed before the first step, the ratio counts one step: it is then a lower bound.
"""

from __future__ import annotations

from collections.abc import Mapping

Curve = Mapping[int, float]  # optimiser step -> held-out cross-entropy, nats per token


def first_step(curve: Curve, target: float) -> int | None:
    """Return the first measured step at which `curve` is at `target` or below; None where it never is."""
    return min((step for step, loss in curve.items() if loss <= target), default=None)


def time_to_target(curve: Curve, other: Curve) -> float:
    """Return the ratio above for two curves that are not empty; 0 where `curve` never gets there."""
    budget = max(other)
    there = first_step(curve, other[budget])
    return 0.0 if there is None else budget / max(1, there)
