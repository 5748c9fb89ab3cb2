"""The scale of the chain claims: sizes, data and steps of their small models; no torch, so that the registry can name it."""

from __future__ import annotations

from dataclasses import dataclass

from core.studies.claims.claim import ProtocolConfig


@dataclass(frozen=True)
class ChainProtocolConfig(ProtocolConfig):
    """Sizes and steps of the chain that its claims share.

    Attributes:
        sizes: blocks and channels of each anchor, descending; heads have 8 channels.
        feed_forward: neurons of the largest; the others keep its ratio to the width.
        rows: rows of the house corpus that are packed for training.
        anchor_steps, chain_steps, recovery_steps: optimiser steps of a model trained from nothing, of one step down the chain,
            and the small token budget of a model between two anchors.
        text_rate, distil_rate: peak learning rates on text alone, the same whatever a model began from, and under a teacher.
        recovery_alphas: shares at which models are trained on for the token budget.
        evaluation_blocks: held-out blocks on which alpha is chosen, and as many others on which the result is measured.
    """

    sizes: tuple[tuple[int, int], ...] = ((6, 96), (5, 80), (4, 64), (3, 48))
    head_size: int = 8
    feed_forward: int = 256
    vocabulary: int = 1024
    block_length: int = 128
    rows: int = 16_000
    batch: int = 8
    anchor_steps: int = 600
    chain_steps: int = 300
    recovery_steps: int = 150
    text_rate: float = 2e-3
    distil_rate: float = 1e-3
    calibration_blocks: int = 16
    evaluation_blocks: int = 32
    alphas: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    recovery_alphas: tuple[float, ...] = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)

    @property
    def inner_alphas(self) -> tuple[float, ...]:
        """Return the shares strictly between the anchors."""
        return tuple(alpha for alpha in self.alphas if 0 < alpha < 1)
