"""Refitting what reads the neurons that stay."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from core.chains.interpolation import AnchorPair, substitute
from core.students.layer_maps import span_ends
from core.students.reconstruction import least_squares_reconstruction, neuron_grams
from core.students.resizing import Weights, resized
from tests.core.students.test_resizing import TINY_WIDE
from tests.core.tiny import logits, tiny_model, token_ids

IDS = token_ids(rows=16, length=24)


@pytest.mark.parametrize("name", TINY_WIDE)
def test_neurons_that_repeat_others_cost_nothing(name: str) -> None:
    """Every neuron of the second half is a copy of one of the first: a plain cut loses half of each sum, a reconstruction nothing."""
    weights = Weights.of(tiny_model(name))
    half = weights.dimensions.intermediate_size // 2
    for key, tensor in weights.tensors.items():
        axes = weights.architecture.axes_of(key)
        if "intermediate" in axes and "hidden_out" not in axes:
            dim = axes.index("intermediate")
            tensor.narrow(dim, half, half).copy_(tensor.narrow(dim, 0, half))
    expected = logits(weights.model(), token_ids())
    reconstructed = least_squares_reconstruction(weights, half, neuron_grams(weights, IDS))
    plain = resized(weights, replace(weights.dimensions, intermediate_size=half))
    lost = [(logits(each.model(), token_ids()) - expected).norm() for each in (reconstructed, plain)]
    assert reconstructed.dimensions.intermediate_size == half
    assert lost[0] < 0.15 * lost[1]


@pytest.mark.parametrize("name", TINY_WIDE)
def test_a_reconstruction_is_the_regression_of_its_definition(name: str) -> None:
    weights = Weights.of(tiny_model(name, layers=1))
    kept = weights.dimensions.intermediate_size // 2
    gram = neuron_grams(weights, IDS)[0].double()
    reconstructed = least_squares_reconstruction(weights, kept, {0: gram.float()})
    key = next(key for key in weights.tensors if set(weights.architecture.axes_of(key)) == {"hidden_out", "intermediate"})
    transposed = weights.architecture.axes_of(key)[0] == "intermediate"
    old, new = ((each if transposed else each.T).double() for each in (weights.tensors[key], reconstructed.tensors[key]))

    def error(matrix: torch.Tensor) -> float:
        padded = torch.zeros_like(old)
        padded[:kept] = matrix
        difference = old - padded
        return float((difference * (gram @ difference)).sum())

    assert error(new) <= error(old[:kept])
    nudge = torch.randn(new.shape, generator=torch.Generator().manual_seed(0)).double() * 0.05
    assert error(new) < error(new + nudge)


def test_substitution_reconstructs_what_it_cuts() -> None:
    large = Weights.of(tiny_model("llama"))
    small = resized(large, replace(large.dimensions, layers=2, intermediate_size=24), layers=[0, 3])
    target = replace(large.dimensions, layers=3, intermediate_size=32)
    cut = substitute(AnchorPair(small, large, ends=span_ends(4, 2)), target, [1])
    reconstructed = substitute(AnchorPair(small, large, ends=span_ends(4, 2), calibration=IDS), target, [1])
    key = "model.layers.2.mlp.down_proj.weight"
    assert cut.tensors[key].shape == reconstructed.tensors[key].shape == (32, 32)
    assert not torch.equal(cut.tensors[key], reconstructed.tensors[key])
    assert torch.equal(cut.tensors["model.layers.0.mlp.down_proj.weight"], reconstructed.tensors["model.layers.0.mlp.down_proj.weight"])
