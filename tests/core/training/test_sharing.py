from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.training.sharing import Share, share_of


@given(st.lists(st.integers(1, 9), max_size=6), st.integers(1, 7))
def test_every_row_is_taken_once_and_all_processes_make_as_many_passes(sizes: list[int], world: int) -> None:
    every = [share_of(sizes, rank, world) for rank in range(world)]
    taken = [(share.batch, row) for shares in every for share in shares if not share.idle for row in range(share.start, share.stop)]
    assert sorted(taken) == [(batch, row) for batch, size in enumerate(sizes) for row in range(size)]
    rows = [sum(share.stop - share.start for share in shares if not share.idle) for shares in every]
    assert max(rows) - min(rows) <= 1
    for shares in every:
        assert len(shares) == len(sizes)
        assert not shares or not shares[-1].empty, "the last pass exchanges gradients"
        assert all(share.stop <= sizes[share.batch] for share in shares)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 7))
def test_in_step_all_processes_make_the_same_passes_and_no_more_than_the_busiest_needs(sizes: list[int], world: int) -> None:
    alone = [share_of(sizes, rank, world) for rank in range(world)]
    in_step = [share_of(sizes, rank, world, in_step=True) for rank in range(world)]
    assert len({tuple(share.empty for share in shares) for shares in in_step}) == 1
    assert sum(not share.empty for share in in_step[0]) == max(sum(not share.empty for share in shares) for shares in alone)
    for before, after in zip(alone, in_step, strict=True):
        assert [each for each in before if not each.empty and not each.idle] == [each for each in after if not each.empty and not each.idle]


def test_a_step_is_cut_in_two_with_the_empty_passes_first() -> None:
    assert share_of([4, 4], 0, 2) == [Share(1, 0, 0), Share(0, 0, 4)]
    assert share_of([4, 4], 1, 2) == [Share(0, 4, 4), Share(1, 0, 4)]
    assert share_of([3, 1], 1, 2) == [Share(0, 2, 3), Share(1, 0, 1)]
    assert share_of([1], 0, 2) == [Share(0, 0, 1, idle=True)]
