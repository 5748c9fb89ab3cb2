"""Importance of units, and models sorted by it."""

from __future__ import annotations

import pytest
import torch

from core.models.architectures import blocks
from core.students.importance import sort_by_importance, unit_importance
from core.students.resizing import Weights, resized
from tests.core.students.test_resizing import TINY_WIDE
from tests.core.tiny import logits, tiny_model, token_ids


@pytest.mark.parametrize("name", TINY_WIDE)
def test_a_sorted_model_is_the_same_model(name: str) -> None:
    model = tiny_model(name)
    weights = Weights.of(model)
    ordered = sort_by_importance(weights, unit_importance(model, [token_ids()]))
    torch.testing.assert_close(logits(ordered.model(), token_ids()), logits(model, token_ids()), rtol=1e-3, atol=1e-3)
    again = unit_importance(ordered.model(), [token_ids()])
    for importance in (again.channels[None], again.key_value_heads, again.neurons):
        assert (importance.diff(dim=1) <= 1e-4 * importance.max()).all()


@pytest.mark.parametrize("name", TINY_WIDE)
def test_units_that_write_nothing_come_last(name: str) -> None:
    model = tiny_model(name)
    dead_neuron, dead_head, size = 5, 1, Weights.of(model).dimensions.head_size
    group = Weights.of(model).dimensions.group_size
    state = model.state_dict()
    for key, tensor in state.items():
        architecture = Weights.of(model).architecture
        if ".1." not in key or architecture.block_of(key) != 1:
            continue
        axes = architecture.axes_of(key)
        if axes in (("hidden_out", "intermediate"), ("intermediate", "hidden_out")):
            tensor.select(axes.index("intermediate"), dead_neuron).zero_()
        if axes in (("hidden_out", "heads"), ("heads", "hidden_out")):
            tensor.narrow(axes.index("heads"), dead_head * group * size, group * size).zero_()
    importance = unit_importance(model, [token_ids()])
    assert importance.neurons[1].argmin() == dead_neuron and importance.neurons[1, dead_neuron] == 0
    assert importance.key_value_heads[1].argmin() == dead_head and importance.key_value_heads[1, dead_head] == 0
    assert len(blocks(model)) == len(importance.neurons)


def test_batches_of_any_size_tell_the_same() -> None:
    model, ids = tiny_model("llama"), token_ids(rows=4)
    whole, parts = unit_importance(model, [ids]), unit_importance(model, [ids[:1], ids[1:]])
    torch.testing.assert_close(whole.neurons, parts.neurons)
    torch.testing.assert_close(whole.channels, parts.channels)


def test_the_least_important_neurons_are_the_cheapest_to_lose() -> None:
    """On a model with neurons of very different weight, a sorted prefix keeps more of the logits than an unsorted one."""
    model = tiny_model("llama", spread=0.05)
    with torch.no_grad():
        for block in blocks(model):
            block.mlp.down_proj.weight.mul_(torch.logspace(-2, 1, 48)[torch.randperm(48, generator=torch.Generator().manual_seed(1))])
    weights = Weights.of(model)
    from dataclasses import replace
    smaller = replace(weights.dimensions, intermediate_size=24)
    expected = logits(model, token_ids())
    plain, ordered = (logits(resized(each, smaller).model(), token_ids())
                      for each in (weights, sort_by_importance(weights, unit_importance(model, [token_ids()]))))
    assert (ordered - expected).norm() < 0.5 * (plain - expected).norm()
