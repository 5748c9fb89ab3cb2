"""Chunks and tiles cover every position once, and none holds more logits than its limit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import accumulate

import pytest

from core.models.chunking import CHUNK_ELEMENTS, TILE_ELEMENTS, chunks, tiles


@pytest.mark.parametrize(("cut", "limit"), [(chunks, CHUNK_ELEMENTS), (tiles, TILE_ELEMENTS)])
@pytest.mark.parametrize(("positions", "width"), [(1, 10), (1000, 32_000), (8192, 128_256), (CHUNK_ELEMENTS // 2 + 1, 2)])
def test_every_position_is_in_one_slice_and_no_slice_is_too_large(cut: Callable[[int, int], Iterator[slice]], limit: int, positions: int,
                                                                  width: int) -> None:
    slices = list(cut(positions, width))
    lengths = [part.stop - part.start for part in slices]
    assert [part.start for part in slices] == [0, *accumulate(lengths[:-1])] and sum(lengths) == positions and min(lengths) >= 1
    assert max(lengths) * width <= limit
    assert all(length == lengths[0] for length in lengths[:-1])


def test_one_position_at_a_time_where_a_vocabulary_exceeds_the_limit() -> None:
    assert list(chunks(2, CHUNK_ELEMENTS + 1)) == [slice(0, 1), slice(1, 2)]
    assert list(tiles(2, TILE_ELEMENTS + 1)) == [slice(0, 1), slice(1, 2)]


def test_no_positions_give_no_chunk() -> None:
    assert list(chunks(0, 100)) == []
