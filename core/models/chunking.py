"""Cut positions into chunks, so that the logits that exist at once stay small, and chunks into tiles that fit a processor's cache."""

from __future__ import annotations

from collections.abc import Iterator

CHUNK_ELEMENTS = 1 << 23  # logits held at once: 32 MiB in float32, a few times that with their temporaries
TILE_ELEMENTS = 1 << 18  # logits that a processor works on at once: 1 MiB in float32, and a few times that with what is made of them


def chunks(positions: int, width: int) -> Iterator[slice]:
    """Return slices of so many positions that their logits stay small, whatever the vocabulary."""
    return _slices(positions, max(1, CHUNK_ELEMENTS // width))


def tiles(positions: int, width: int) -> Iterator[slice]:
    """Return slices of a chunk's positions, all within it."""
    return _slices(positions, max(1, TILE_ELEMENTS // width))


def _slices(positions: int, step: int) -> Iterator[slice]:
    return (slice(start, min(start + step, positions)) for start in range(0, positions, step))
