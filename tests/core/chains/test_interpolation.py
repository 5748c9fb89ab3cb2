"""Equation 3, substitution, and what lies between two anchors."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from core.chains.interpolation import AnchorPair, depth_maps, interpolate, substitute, swap
from core.errors import CompatibilityError, ConfigError
from core.students.layer_maps import span_ends
from core.students.resizing import Weights, resized
from tests.core.masked_models import masked_model
from tests.core.students.test_resizing import TINY_WIDE
from tests.core.tiny import logits, tiny_model, token_ids


def anchor_pair(name: str = "llama", *, tied: bool = True, width: int = 16, layers: int = 2) -> AnchorPair:
    """A nested small anchor: the outer blocks and the first units of the large one, moved a little so that it differs."""
    large = Weights.of(tiny_model(name, layers=4, tied=tied))
    small = resized(large, large.dimensions.with_width(width, layers=layers), layers=[0, 3][:layers])
    torch.manual_seed(1)
    moved = {key: tensor + 0.05 * torch.randn_like(tensor) for key, tensor in small.tensors.items()}
    return AnchorPair(Weights(small.config, moved, small.origin), large, ends=(1, 3))


@pytest.mark.parametrize("name", TINY_WIDE)
@pytest.mark.parametrize("tied", [True, False])
def test_alpha_one_with_identity_blocks_is_the_small_anchor(name: str, tied: bool) -> None:
    pair = anchor_pair(name, tied=tied)
    target = replace(pair.large.dimensions, layers=3)
    made = interpolate(pair, target, 1.0).model()
    assert (logits(made, token_ids()) - logits(pair.small.model(), token_ids())).abs().max() < 1e-3


@pytest.mark.parametrize("name", TINY_WIDE)
def test_alpha_zero_is_the_large_anchor_cut_down(name: str) -> None:
    pair = anchor_pair(name)
    target = pair.large.dimensions.with_width(16, layers=3)
    made = interpolate(pair, target, 0.0)
    layers, _, _ = depth_maps(pair, 3)
    cut = resized(pair.large, target, layers)
    assert all(torch.equal(made.tensors[key], tensor) for key, tensor in cut.tensors.items())


def test_every_weight_is_the_mean_of_both() -> None:
    pair = anchor_pair()
    target = replace(pair.small.dimensions, layers=3)
    small, large, both = (interpolate(pair, target, alpha).tensors for alpha in (1.0, 0.0, 0.3))
    for key, tensor in both.items():
        torch.testing.assert_close(tensor, 0.3 * small[key] + 0.7 * large[key])


@pytest.mark.parametrize("method", [lambda pair, size: interpolate(pair, size, 0.4), substitute])
@pytest.mark.parametrize("which", ["small", "large"])
def test_an_anchors_size_gives_the_anchor_bit_by_bit(which: str, method) -> None:
    pair = anchor_pair()
    anchor: Weights = getattr(pair, which)
    made = method(pair, anchor.dimensions)
    assert all(torch.equal(made.tensors[key], tensor) for key, tensor in anchor.tensors.items())


def test_the_small_anchors_blocks_stand_where_their_originals_stood() -> None:
    chosen, small, identity = depth_maps(anchor_pair(), 3)
    assert {0, 3} < set(chosen)
    assert len(chosen) == 3
    assert (small, identity) == ((0, 0, 1), (1,))


def test_replication_copies_the_block_before() -> None:
    pair = anchor_pair(width=32)
    made = interpolate(pair, replace(pair.small.dimensions, layers=3), 1.0, depth="replicate")
    assert torch.equal(made.tensors["model.layers.1.mlp.up_proj.weight"], pair.small.tensors["model.layers.0.mlp.up_proj.weight"])


def test_aware_support_takes_the_large_anchors_weights_where_the_small_one_has_none() -> None:
    pair = anchor_pair()
    target = replace(pair.large.dimensions, layers=3)
    literal, kept = (interpolate(pair, target, 0.5, missing=missing) for missing in ("zero", "keep_large"))
    large = interpolate(pair, target, 0.0)
    key = "model.embed_tokens.weight"
    torch.testing.assert_close(literal.tensors[key][:, 16:], 0.5 * large.tensors[key][:, 16:])
    assert torch.equal(kept.tensors[key][:, 16:], large.tensors[key][:, 16:])
    assert torch.equal(kept.tensors[key][:, :16], literal.tensors[key][:, :16])


@pytest.mark.parametrize("name", TINY_WIDE)
def test_substitution_puts_runs_of_the_large_anchor_in(name: str) -> None:
    pair = anchor_pair(name, width=32)
    architecture = pair.small.architecture
    made = substitute(pair, replace(pair.large.dimensions, layers=3), swapped=[1])
    for position, (source, block) in enumerate([(pair.small, 0), (pair.large, 2), (pair.large, 3)]):
        for key, tensor in source.tensors.items():
            if architecture.block_of(key) == block:
                assert torch.equal(made.tensors[architecture.with_block(key, position)], tensor)
    assert made.origin == (0, 2, 3)
    assert torch.isfinite(logits(made.model(), token_ids())).all()


def test_depths_that_no_span_reaches_are_filled_with_identity_blocks() -> None:
    large = Weights.of(tiny_model("llama", layers=4))
    small = resized(large, replace(large.dimensions, layers=1), layers=[0])
    pair = AnchorPair(small, large, ends=(3,))
    made = substitute(pair, replace(large.dimensions, layers=2))
    torch.testing.assert_close(logits(made.model(), token_ids()), logits(small.model(), token_ids()), rtol=1e-4, atol=1e-4)


def test_the_cheapest_swaps_come_first() -> None:
    large = Weights.of(tiny_model("llama", layers=8))
    small = resized(large, replace(large.dimensions, layers=4), layers=[0, 2, 5, 7])
    pair = AnchorPair(small, large, ends=span_ends(8, 4), swap_deltas=(-0.1, 0.2, -0.5, -0.2))
    assert [swap(pair, layers) for layers in range(4, 9)] == [(), (2,), (2, 3), (0, 2, 3), (0, 1, 2, 3)]


@pytest.mark.parametrize(("teacher", "student", "ends"), [
    (8, 4, (1, 3, 5, 7)), (8, 3, (2, 4, 7)), (12, 6, (1, 3, 5, 7, 9, 11)), (4, 4, (0, 1, 2, 3)), (5, 1, (4,))])
def test_runs_cover_the_teacher(teacher: int, student: int, ends: tuple[int, ...]) -> None:
    assert span_ends(teacher, student) == ends


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_alpha_outside_its_range_is_refused(alpha: float) -> None:
    pair = anchor_pair()
    with pytest.raises(ConfigError, match="the larger anchor"):
        interpolate(pair, replace(pair.small.dimensions, layers=3), alpha)


def test_a_target_outside_the_anchors_is_refused_with_their_range() -> None:
    pair = anchor_pair()
    with pytest.raises(ConfigError, match=r"layers 5.*2 and 4"):
        interpolate(pair, replace(pair.large.dimensions, layers=5), 0.5)


def test_anchors_of_different_families_are_refused() -> None:
    with pytest.raises(CompatibilityError, match="architecture and head size"):
        AnchorPair(Weights.of(tiny_model("llama", layers=2)), Weights.of(tiny_model("gpt2")))


def test_a_mixed_model_is_tied_and_saved_like_any_other(tmp_path) -> None:
    from transformers import AutoModelForCausalLM

    pair = anchor_pair()
    model = interpolate(pair, replace(pair.large.dimensions, layers=3), 0.5).model()
    assert model.get_input_embeddings().weight.data_ptr() == model.get_output_embeddings().weight.data_ptr()
    model.save_pretrained(tmp_path)
    assert torch.equal(logits(AutoModelForCausalLM.from_pretrained(tmp_path), token_ids()), logits(model, token_ids()))


def test_nothing_lies_between_two_encoders() -> None:
    large, small = (Weights.of(masked_model(layers)) for layers in (4, 2))
    with pytest.raises(CompatibilityError, match="bert model, a masked language model"):
        AnchorPair(small, large)
