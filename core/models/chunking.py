"""Cut positions into chunks, so that the logits that exist at once stay small."""

from __future__ import annotations

from collections.abc import Iterator

CHUNK_ELEMENTS = 1 << 23  # logits held at once: 32 MiB in float32, a few times that with their temporaries


def chunks(positions: int, width: int) -> Iterator[slice]:
    """Return slices of so many positions that their logits stay small, whatever the vocabulary."""
    step = max(1, CHUNK_ELEMENTS // width)
    return (slice(start, start + step) for start in range(0, positions, step))
