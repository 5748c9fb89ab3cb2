from __future__ import annotations

from dataclasses import replace

import pytest

from core.errors import ConfigError
from core.models import catalog
from core.models.dimensions import Dimensions
from core.recipes import read_recipe
from workbench.screens.chain import build_view

TEACHER = Dimensions(layers=8, hidden=192, heads=6, key_value_heads=6, head_size=32, intermediate_size=512)


def test_anchors_begin_at_half_and_a_quarter_of_the_depth():
    assert [(each.layers, each.intermediate_size) for each in build_view.defaults(TEACHER, 2)] == [(4, 384), (2, 256)]
    assert [each.layers for each in build_view.defaults(replace(TEACHER, layers=3), 2)] == [1, 1]


def test_each_anchor_must_be_smaller_than_the_one_above():
    half, quarter = build_view.defaults(TEACHER, 2)
    assert build_view.shrinking_problem(TEACHER, [half, quarter]) == ""
    assert "Anchor 2" in build_view.shrinking_problem(TEACHER, [half, half])
    assert "Anchor 1" in build_view.shrinking_problem(TEACHER, [TEACHER])
    assert "Anchor 2" in build_view.shrinking_problem(TEACHER, [quarter, half])


def test_the_recipe_is_the_house_chains_with_these_anchors():
    config = build_view.recipe("house-chat", build_view.defaults(TEACHER, 2), 1000, 42, "mine")
    house = read_recipe(build_view.RECIPE)
    assert config == house.model_copy(update={"name": "mine", "description": ""})
    assert build_view.recipe("house-chat", build_view.defaults(TEACHER, 1), 5, 7, "").name is None
    with pytest.raises(ConfigError, match="not a run name"):
        build_view.recipe("house-chat", build_view.defaults(TEACHER, 1), 5, 7, "no spaces")


def test_parameters_are_counted_before_anything_is_built():
    entry = catalog.describe("house-chat")
    sizer = entry.header.parameter_counter()
    assert sizer(entry.dimensions) == entry.parameters
    assert sizer(build_view.defaults(entry.dimensions, 1)[0]) < entry.parameters
