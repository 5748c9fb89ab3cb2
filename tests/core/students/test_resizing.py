"""Widths: cutting, ordering and expanding the units of a model."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
import torch

from core.errors import ConfigError, UnsupportedModelError
from core.models.architecture_spec import AXES
from core.models.architectures import ARCHITECTURE_SPECS
from core.models.checkpoints import canonical_parameters
from core.models.dimensions import Dimensions, ParameterCounter, as_record, with_dimensions
from core.students.resizing import Selection, Weights, resized, select
from tests.core.families import WIDE, family_config, family_model
from tests.core.tiny import ARCHITECTURES, VOCABULARY, WIDTH, logits, tiny_config, tiny_model, token_ids

TINY_WIDE = tuple(name for name in WIDE if name in ARCHITECTURES)  # the others' expansions are those of tests/core/test_families.py


def wider(dimensions: Dimensions) -> Dimensions:
    return replace(dimensions.with_width(dimensions.hidden * 3 // 2), layers=dimensions.layers)


@pytest.mark.parametrize("name", TINY_WIDE)
@pytest.mark.parametrize("tied", [True, False])
def test_expansion_changes_nothing(name: str, tied: bool) -> None:
    """Claim C9: wider and deeper by zero-initialised units alone, within 1e-3 of the logits."""
    small = Weights.of(tiny_model(name, layers=3, tied=tied))
    target = replace(wider(small.dimensions), layers=5)
    large = resized(small, target, layers=(0, 1, 1, 2, 2), identity=(2, 4)).model()
    assert Dimensions.from_config(large.config) == target
    expected = logits(small.model(), token_ids())
    assert (logits(large, token_ids()) - expected).abs().max() < 1e-3
    assert expected.abs().max() > 1


@pytest.mark.parametrize("name", WIDE)
def test_more_query_heads_in_a_group_change_nothing(name: str) -> None:
    small = Weights.of(family_model(name))
    old = small.dimensions
    if old.group_size == 1 or small.architecture.head_size_key is None:
        pytest.skip("its heads are not grouped")
    large = resized(small, replace(old, heads=old.heads + old.key_value_heads)).model()
    assert (logits(large, token_ids()) - logits(small.model(), token_ids())).abs().max() < 1e-3


@pytest.mark.parametrize("name", WIDE)
def test_an_expanded_model_is_cut_back_to_itself(name: str) -> None:
    small = Weights.of(family_model(name))
    back = resized(resized(small, wider(small.dimensions)), small.dimensions)
    gain = (small.dimensions.hidden / wider(small.dimensions).hidden) ** 0.5
    for key, tensor in small.tensors.items():
        axes = set(small.architecture.axes_of(key))
        if "norm_excess" in axes:  # the gain less 1
            torch.testing.assert_close(back.tensors[key] + 1, (tensor + 1) * gain)
        else:
            scaled = axes & {"norm_weight", "heads_norm", "kv_norm"}
            torch.testing.assert_close(back.tensors[key], tensor * gain if scaled else tensor)


@pytest.mark.parametrize("name", TINY_WIDE)
def test_order_changes_nothing(name: str) -> None:
    weights = Weights.of(tiny_model(name))
    old = weights.dimensions
    generator = torch.Generator().manual_seed(3)
    groups = torch.stack([torch.randperm(old.key_value_heads, generator=generator) for _ in range(old.layers)])
    heads = (groups[..., None] * old.group_size + torch.arange(old.group_size)).flatten(1)
    neurons = torch.stack([torch.randperm(old.intermediate_size, generator=generator) for _ in range(old.layers)])
    mixed = select(weights, Selection(tuple(range(old.layers)), torch.randperm(old.hidden, generator=generator), heads, groups, neurons))
    embedding = f"{weights.architecture.embeddings}.weight"
    assert not torch.equal(mixed.tensors[embedding], weights.tensors[embedding])
    torch.testing.assert_close(logits(mixed.model(), token_ids()), logits(weights.model(), token_ids()), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", TINY_WIDE)
@pytest.mark.parametrize("tied", [True, False])
def test_sizes_are_known_beforehand(name: str, tied: bool) -> None:
    model = tiny_model(name, tied=tied)
    plain = model.config.to_dict()
    sizer = ParameterCounter({key: tuple(value.shape) for key, value in canonical_parameters(model.state_dict(), plain)}, plain)
    old = Dimensions.from_config(plain)
    assert sizer(old) == model.num_parameters()
    for new in (replace(old, layers=2), replace(wider(old), layers=7), replace(old, intermediate_size=16)):
        assert sizer(new) == resized(Weights.of(model), new, layers=[0] * new.layers).model().num_parameters()


@pytest.mark.parametrize("name", WIDE)
def test_dimensions_are_what_the_configuration_says(name: str) -> None:
    old = Dimensions.from_config(family_config(name))
    assert old.hidden == 32 and old.layers == 4 and old.heads == 4
    assert Dimensions.from_config(with_dimensions(family_config(name), wider(old))) == wider(old)
    assert Dimensions.from_config(family_model(name).config.to_dict()) == old


def test_a_width_between_heads_is_refused_with_the_nearest_ones() -> None:
    with pytest.raises(ConfigError, match=r"multiple of 16.*Use 32 or 48"):
        Dimensions.from_config(tiny_config("llama")).with_width(40)


def test_heads_that_do_not_fill_the_width_are_refused_where_they_must() -> None:
    old = Dimensions.from_config(tiny_config("gpt2"))
    with pytest.raises(ConfigError, match="the heads fill the width"):
        with_dimensions(tiny_config("gpt2"), replace(old, heads=2))


def test_widths_that_are_not_described_are_refused() -> None:
    model = tiny_model("opt")
    with pytest.raises(UnsupportedModelError, match="a width of its own"):
        resized(Weights.of(model), replace(Dimensions.from_config(model.config), intermediate_size=16))


def test_a_parameter_without_axes_is_named() -> None:
    with pytest.raises(UnsupportedModelError, match=r"mlp\.new_proj\.weight"):
        ARCHITECTURE_SPECS["llama"].axes_of("model.layers.1.mlp.new_proj.weight")


@pytest.mark.parametrize("name", WIDE)
def test_every_parameter_has_an_axis_for_each_dimension(name: str) -> None:
    weights = Weights.of(family_model(name))
    for key, tensor in weights.tensors.items():
        axes = weights.architecture.axes_of(key)
        assert len(axes) == tensor.ndim and set(axes) <= set(AXES), f"{key}: {axes}"


@pytest.mark.parametrize("name", WIDE)
def test_the_size_of_a_head_is_what_its_key_says(name: str) -> None:
    """A key that the model does not read leaves its heads as wide as they were."""
    config = family_config(name)
    old, key = Dimensions.from_config(config), Weights.of(family_model(name)).architecture.head_size_key
    if key is None:
        with pytest.raises(ConfigError, match="the heads fill the width"):
            with_dimensions(config, replace(old, head_size=2 * old.head_size))
        return
    model = family_model(name, **{key: 2 * old.head_size})
    assert Dimensions.from_config(model.config).head_size == 2 * old.head_size
    sizes = {tensor.shape[axis] for parameter, tensor in Weights.of(model).tensors.items()
             for axis, runs_over in enumerate(ARCHITECTURE_SPECS[model.config.model_type].axes_of(parameter)) if runs_over == "heads"}
    assert sizes == {old.heads * 2 * old.head_size}, f"{key} changes nothing in a {model.config.model_type} model"


@pytest.mark.parametrize("name", WIDE)
def test_norms_subtract_the_mean_or_do_not(name: str) -> None:
    model = family_model(name)
    architecture = Weights.of(model).architecture
    norm, states = model.get_submodule(architecture.final_norm), torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(norm(states + 3), norm(states), atol=1e-3) == architecture.norms_subtract_mean, "norms_subtract_mean"



def test_a_subset_keeps_the_first_units() -> None:
    weights = Weights.of(tiny_model("llama"))
    small = resized(weights, weights.dimensions.with_width(16, layers=2), layers=(0, 3))
    assert small.origin == (0, 3)
    assert small.tensors["model.embed_tokens.weight"].shape == (VOCABULARY, 16)
    torch.testing.assert_close(small.tensors["model.layers.1.mlp.up_proj.weight"],
                               weights.tensors["model.layers.3.mlp.up_proj.weight"][:24, :16])
    torch.testing.assert_close(small.tensors["model.layers.1.self_attn.k_proj.weight"],
                               weights.tensors["model.layers.3.self_attn.k_proj.weight"][:8, :16])


def test_sizes_keep_their_stored_name_and_are_read_under_both() -> None:
    sizes = Dimensions(layers=2, hidden=32, heads=4, key_value_heads=2, head_size=8, intermediate_size=48)
    stored = as_record(sizes)
    assert stored == {"layers": 2, "hidden": 32, "heads": 4, "key_value_heads": 2, "head_size": 8, "neurons": 48}
    assert Dimensions.from_dict(stored) == Dimensions.from_dict(asdict(sizes)) == sizes
