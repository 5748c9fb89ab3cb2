"""The size solver."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.chains.sizes import TOLERANCE, default_alpha, interpolate_shape, solve, valid_shapes
from core.errors import ConfigError
from core.models.checkpoints import canonical_parameters
from core.models.dimensions import Dimensions, ParameterCounter
from tests.core.tiny import tiny_model

LARGE = Dimensions(layers=8, hidden=192, heads=6, key_value_heads=6, head_size=32, intermediate_size=512)
DEEP = replace(LARGE, layers=4, intermediate_size=384)  # differs in depth and inner width
WIDE = LARGE.with_width(128, layers=4)  # differs in depth and width


def sizer() -> ParameterCounter:
    model = tiny_model("llama")
    plain = model.config.to_dict()
    return ParameterCounter({key: tuple(value.shape) for key, value in canonical_parameters(model.state_dict(), plain)}, plain)


SIZER = sizer()


@pytest.mark.parametrize("small", [DEEP, WIDE])
def test_shapes_lie_between_the_anchors(small: Dimensions) -> None:
    shapes = valid_shapes(small, LARGE, SIZER)
    assert small in shapes and LARGE in shapes
    for shape in shapes:
        assert small.layers <= shape.layers <= 8 and small.hidden <= shape.hidden <= 192
        assert small.intermediate_size <= shape.intermediate_size <= 512
        assert SIZER(small) <= SIZER(shape) <= SIZER(LARGE)
        assert shape.heads * shape.head_size == shape.hidden


@given(st.floats(0, 1))
def test_any_count_between_anchors_of_one_width_is_hit(share: float) -> None:
    wanted = round(SIZER(DEEP) + share * (SIZER(LARGE) - SIZER(DEEP)))
    found = solve(wanted, DEEP, LARGE, SIZER)
    assert abs(SIZER(found) - wanted) <= TOLERANCE * wanted


@pytest.mark.parametrize("anchor", [DEEP, LARGE])
def test_an_anchors_count_gives_the_anchor(anchor: Dimensions) -> None:
    assert solve(SIZER(anchor), DEEP, LARGE, SIZER) == anchor


def test_a_count_that_no_shape_hits_is_refused_with_the_nearest_two() -> None:
    small, large = replace(LARGE, layers=1), replace(LARGE, layers=2)
    with pytest.raises(ConfigError, match=f"{SIZER(small):,} and {SIZER(large):,}"):
        solve((SIZER(small) + SIZER(large)) // 2, small, large, SIZER)


def test_depth_and_width_grow_together() -> None:
    middle = solve((SIZER(DEEP) + SIZER(LARGE)) // 2, DEEP, LARGE, SIZER)
    assert middle.layers == 6 and 400 <= middle.intermediate_size <= 480


def test_a_depth_takes_its_widths_from_the_straight_line() -> None:
    assert interpolate_shape(6, DEEP, LARGE) == replace(LARGE, layers=6, intermediate_size=448)
    assert interpolate_shape(6, WIDE, LARGE).hidden == 160
    assert interpolate_shape(6, DEEP, LARGE, intermediate_size=400).intermediate_size == 400
    with pytest.raises(ConfigError, match="384 to 512"):
        interpolate_shape(6, DEEP, LARGE, intermediate_size=600)
    with pytest.raises(ConfigError, match="128 to 192"):
        interpolate_shape(6, WIDE, LARGE, hidden=64)


def test_alpha_is_the_distance_to_the_large_anchor() -> None:
    assert default_alpha(100, 100, 200) == 1
    assert default_alpha(100, 200, 200) == 0
    assert default_alpha(117, 138, 345) == pytest.approx(0.908, abs=1e-3)  # the paper's best was 0.9


@pytest.mark.parametrize("small", [DEEP, WIDE])
def test_a_count_that_was_given_gives_the_same_count_again(small: Dimensions) -> None:
    for shape in valid_shapes(small, LARGE, SIZER):
        assert SIZER(solve(SIZER(shape), small, LARGE, SIZER)) == SIZER(shape)
