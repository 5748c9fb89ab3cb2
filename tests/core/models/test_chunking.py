"""Chunks cover every position once, and none holds more logits than the limit."""

from __future__ import annotations

import pytest

from core.models.chunking import CHUNK_ELEMENTS, chunks


@pytest.mark.parametrize(("positions", "width"), [(1, 10), (1000, 32_000), (8192, 128_256), (CHUNK_ELEMENTS // 2 + 1, 2)])
def test_every_position_is_in_one_chunk_and_no_chunk_is_too_large(positions: int, width: int) -> None:
    lengths = [len(range(positions)[part]) for part in chunks(positions, width)]
    assert sum(lengths) == positions and min(lengths) >= 1
    assert max(lengths) * width <= CHUNK_ELEMENTS
    assert all(length == lengths[0] for length in lengths[:-1])


def test_one_position_at_a_time_where_a_vocabulary_exceeds_the_limit() -> None:
    assert list(chunks(2, CHUNK_ELEMENTS + 1)) == [slice(0, 1), slice(1, 2)]


def test_no_positions_give_no_chunk() -> None:
    assert list(chunks(0, 100)) == []
