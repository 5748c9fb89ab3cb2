"""The scale of the claims about patching; no torch, so that the registry can name it."""

from __future__ import annotations

from dataclasses import dataclass

from core.studies.claims.chain_protocol import ChainProtocolConfig


@dataclass(frozen=True)
class PatchingProtocolConfig(ChainProtocolConfig):
    """Sizes and steps of a teacher and its students, of one width.

    Attributes:
        spans: blocks of the teacher for each block of a student; the first is that of every claim but E4.
        direct_sizes: depths between at which models are distilled one by one.
        random_orders: in which spans are patched back at random, for E5.
    """

    sizes: tuple[tuple[int, int], ...] = ((12, 64), (6, 64))
    feed_forward: int = 168
    spans: tuple[int, ...] = (2, 3, 4)
    direct_sizes: tuple[int, ...] = (7, 9, 11)
    random_orders: int = 3
