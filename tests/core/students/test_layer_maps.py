from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import StudentSpec
from core.errors import ConfigError
from core.students.layer_maps import TABLE, layer_map, student_depth, student_map


@given(st.integers(2, 100), st.data())
def test_uniform_keeps_the_ends_and_spreads_evenly(teacher: int, data: st.DataObject) -> None:
    student = data.draw(st.integers(2, teacher))
    blocks = layer_map("uniform", teacher, student)
    gaps = {later - earlier for earlier, later in pairwise(blocks)}
    assert len(blocks) == student
    assert (blocks[0], blocks[-1]) == (0, teacher - 1)
    assert min(gaps) >= 1
    assert max(gaps) - min(gaps) <= 1


def test_uniform_gives_distilberts_map() -> None:
    assert layer_map("uniform", 12, 6) == (0, 2, 4, 7, 9, 11)
    assert layer_map("uniform", 8, 1) == (0,)


@pytest.mark.parametrize(("pair", "blocks"), TABLE.items())
def test_published_maps_are_maps(pair: tuple[int, int], blocks: tuple[int, ...]) -> None:
    teacher, student = pair
    assert layer_map("table", teacher, student) == blocks == layer_map(blocks, teacher, student)


@pytest.mark.parametrize("pair", [(12, 5), (30, 15)])
def test_a_pair_that_the_table_lacks_is_refused(pair: tuple[int, int]) -> None:
    with pytest.raises(ConfigError, match="published tables have"):
        layer_map("table", *pair)


def test_importance_keeps_the_most_important_in_order() -> None:
    assert layer_map("importance", 5, 3, [0.1, 0.9, -0.2, 0.5, 0.4]) == (1, 3, 4)
    with pytest.raises(ValueError, match="one number for each"):
        layer_map("importance", 5, 3, [0.1])


@pytest.mark.parametrize("rule", ["uniform", "table", "importance", "first"])
def test_every_rule_keeps_all_blocks_at_equal_depth(rule: str) -> None:
    assert layer_map(rule, 7, 7) == tuple(range(7))


@pytest.mark.parametrize("blocks", [(0, 8), (-1, 3), (3, 0), (2, 2), (0, 1, 2)])
def test_impossible_lists_are_refused(blocks: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="from 0 to 7"):
        layer_map(blocks, 8, 2)


@pytest.mark.parametrize("depth", [0, 9])
def test_depth_outside_the_teachers_is_refused(depth: int) -> None:
    with pytest.raises(ConfigError, match="1 to 8 were expected"):
        layer_map("uniform", 8, depth)


def test_depth_of_a_student() -> None:
    assert student_depth(StudentSpec(), 9) == 4
    assert student_depth(StudentSpec(), 1) == 1
    assert student_depth(StudentSpec(layers=3), 9) == 3
    assert student_depth(StudentSpec(layer_map=(0, 5)), 9) == 2
    assert student_map(StudentSpec(layers=3, layer_map="first"), 9) == (0, 1, 2)
    with pytest.raises(ConfigError, match="has 4 blocks"):
        student_depth(StudentSpec(layers=5), 4)
