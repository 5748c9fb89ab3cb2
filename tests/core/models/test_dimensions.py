"""Sizes of models: read from every configuration, changed by whole heads, written back, and counted without a model."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from transformers import PreTrainedModel

from core.config import StudentSpec
from core.errors import ConfigError
from core.models.checkpoints import canonical_parameters
from core.models.dimensions import Dimensions, ParameterCounter, as_record, shapes_at, student_dimensions, with_dimensions
from tests.core.tiny import ARCHITECTURES, ENCODERS, tiny_config, tiny_encoder_config, tiny_model

LLAMA = Dimensions(layers=4, hidden=32, heads=4, key_value_heads=2, head_size=8, intermediate_size=48)
GROUPED = Dimensions(layers=2, hidden=96, heads=12, key_value_heads=3, head_size=8, intermediate_size=100)


@pytest.mark.parametrize("name", [*ARCHITECTURES, *ENCODERS])
def test_sizes_are_read_from_objects_and_from_plain_data(name: str) -> None:
    config = tiny_encoder_config(name) if name in ENCODERS else tiny_config(name)
    found = Dimensions.from_config(config)
    assert found == Dimensions.from_config(config.to_dict())
    assert (found.layers, found.hidden, found.heads) == (4, 32, 4)
    assert found.key_value_heads == (2 if name in ("llama", "qwen2", "qwen3") else 4)
    assert found.head_size == (16 if name == "qwen3" else 8)


def test_gpt2_has_four_times_its_width_inside_where_nothing_else_is_said() -> None:
    assert Dimensions.from_config(tiny_config("gpt2")).intermediate_size == 128


def test_records_have_the_stored_names_and_are_read_back() -> None:
    record = json.loads(json.dumps(as_record(LLAMA)))
    assert "neurons" in record and "intermediate_size" not in record
    assert Dimensions.from_dict(record) == LLAMA


def test_a_width_keeps_heads_groups_and_the_ratio_inside() -> None:
    narrow = GROUPED.with_width(64)
    assert (narrow.hidden, narrow.heads, narrow.key_value_heads, narrow.head_size, narrow.layers) == (64, 8, 2, 8, 2)
    assert narrow.group_size == GROUPED.group_size == 4 and narrow.intermediate_size == round(100 * 64 / 96)
    assert GROUPED.with_width(64, 50, 1) == replace(narrow, intermediate_size=50, layers=1)
    assert GROUPED.with_width() == GROUPED


@pytest.mark.parametrize(("hidden", "nearest"), [(33, ("32", "64")), (1, ("32", "32")), (0, ("32", "32")), (95, ("64", "96"))])
def test_a_width_that_no_heads_fill_is_refused_with_the_nearest(hidden: int, nearest: tuple[str, str]) -> None:
    assert GROUPED.width_step == 32
    with pytest.raises(ConfigError) as caught:
        GROUPED.with_width(hidden)
    assert all(each in caught.value.fix for each in nearest)


def test_heads_that_do_not_fill_the_width_stay_at_any_width() -> None:
    apart = replace(GROUPED, hidden=80)
    assert apart.width_step == 80 and not apart.heads_fill_width
    assert apart.with_width(56) == replace(apart, hidden=56, intermediate_size=70)
    assert student_dimensions(StudentSpec(hidden=24, intermediate_size=40), apart) == replace(apart, hidden=24, intermediate_size=40)


@pytest.mark.parametrize(("spec", "there"), [({"hidden": 48}, "32"), ({"intermediate_size": 49}, "48")])
def test_a_student_is_no_wider_than_its_teacher(spec: dict, there: str) -> None:
    with pytest.raises(ConfigError, match=there):
        student_dimensions(StudentSpec(**spec), LLAMA)


def test_a_student_has_the_widths_that_were_requested() -> None:
    assert student_dimensions(StudentSpec(), LLAMA) == LLAMA
    assert student_dimensions(StudentSpec(hidden=16), LLAMA) == LLAMA.with_width(16)
    assert student_dimensions(StudentSpec(hidden=32, intermediate_size=48), LLAMA) == LLAMA


def shapes_of(model: PreTrainedModel) -> dict[str, tuple[int, ...]]:
    return {key: tuple(tensor.shape) for key, tensor in canonical_parameters(model.state_dict(), model.config.to_dict())}


@pytest.mark.parametrize("name", ["gpt2", "llama", "qwen2", "qwen3", "gpt_neox"])
@pytest.mark.parametrize("tied", [True, False])
def test_what_is_counted_is_what_torch_has(name: str, tied: bool) -> None:
    """At every width and depth, from the parameter names of one member."""
    model = tiny_model(name, layers=2, tied=tied)
    config = model.config.to_dict()
    shapes = shapes_of(model)
    counter, own = ParameterCounter(shapes, config), Dimensions.from_config(config)
    assert counter(own) == model.num_parameters()
    wanted = own.with_width(16, 20, 3)
    other = type(model)(with_dimensions(model.config, wanted))
    assert counter(replace(wanted, layers=2)) == other.num_parameters()
    assert counter(wanted) - counter(replace(wanted, layers=2)) == (counter(replace(wanted, layers=2)) - counter(replace(wanted, layers=1)))
    assert shapes_at(shapes, config, wanted) == shapes_of(other)


def test_a_configuration_is_copied_and_its_other_fields_stay() -> None:
    config = tiny_config("llama")
    changed = with_dimensions(config, LLAMA.with_width(16))
    assert Dimensions.from_config(config) == LLAMA and Dimensions.from_config(changed) == LLAMA.with_width(16)
    assert changed.vocab_size == config.vocab_size


def test_heads_that_do_not_fill_the_width_are_refused_where_they_always_do() -> None:
    with pytest.raises(ConfigError, match="gpt2"):
        with_dimensions(tiny_config("gpt2"), replace(Dimensions.from_config(tiny_config("gpt2")), heads=3))
    wide = replace(Dimensions.from_config(tiny_config("qwen3")), heads=6)
    assert Dimensions.from_config(with_dimensions(tiny_config("qwen3"), wide)) == wide
