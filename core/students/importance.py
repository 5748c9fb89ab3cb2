"""Sort a model's units by importance, so that every prefix of them is a smaller model.

A chain of anchors sorts the units of its largest one once; each smaller anchor is then a prefix, and all of them speak of
the same channels, heads and neurons (the nested families of 2605.07182). Ranking units by their activations on a calibration slice,
pruning and then distilling is Minitron's (2407.14679, section 2.2); structures that belong together are pruned together as in LLM-Pruner
(2305.11627, section 3.1). Here importance is what a unit adds to the residual stream:

    neuron f of a block      sqrt(mean_n a_nf^2) * |W_out[:, f]|          a: what enters the output matrix
    head h of a block        sqrt(mean_n |W_out[:, h] o_nh|^2)            o: the head's output; groups count as a whole
    channel d                mean over norms of sqrt(mean_n y_nd^2)       y: what the norms hand on to their readers

Shapes: N positions, L blocks, D channels, H query heads, K key and value heads, S channels of a head, F neurons.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from core.models.architectures import blocks, plain_model
from core.students.resizing import Selection, Weights, select

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True)
class Importance:
    """What each unit is worth; higher is more important.

    Attributes:
        channels: (D,).
        key_value_heads: (L, K); the query heads of a group together.
        neurons: (L, F).
    """

    channels: Tensor
    key_value_heads: Tensor
    neurons: Tensor


def unit_importance(model: PreTrainedModel, batches: Iterable[Tensor]) -> Importance:
    """Measure on a calibration slice.

    Args:
        model: any architecture whose widths are described (`core.models.architecture_spec.AXES`).
        batches: token ids (B, T) each, without padding on the left.

    Raises:
        UnsupportedModelError: an architecture whose widths are not described.
    """
    model = plain_model(model)
    weights = Weights.of(model)
    architecture, dimensions = weights.architecture, weights.dimensions
    squares: dict[str, Tensor] = {}
    names = {module: name for name, module in model.named_modules()}

    def add(name: str, values: Tensor) -> None:
        total = values.detach().float().square().flatten(0, -2).sum(0)
        squares[name] = squares.get(name, 0) + total

    def entering(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        add(names[module], inputs[0])

    def leaving(module: nn.Module, _inputs: Any, output: Tensor) -> None:
        add(names[module], output)

    def heads_leaving(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        matrix_SHD = _output_matrix(module, architecture.fan_in_fan_out).unflatten(0, (dimensions.heads, dimensions.head_size))
        outputs = inputs[0].detach().unflatten(-1, (dimensions.heads, dimensions.head_size))
        written = torch.einsum("bths,hsd->bthd", outputs.float(), matrix_SHD)
        squares[names[module]] = squares.get(names[module], 0) + written.square().sum(-1).flatten(0, 1).sum(0)

    positions = 0
    with ExitStack() as hooks, torch.inference_mode():
        for name, module in model.named_modules():
            axes = _axes(architecture, f"{name}.weight", weights)
            if axes in ({"norm_weight"}, {"norm_excess"}):
                hook = module.register_forward_hook(leaving)
            elif axes == {"hidden_out", "intermediate"}:
                hook = module.register_forward_pre_hook(entering)
            elif axes == {"hidden_out", "heads"}:
                hook = module.register_forward_pre_hook(heads_leaving)
            else:
                continue
            hooks.callback(hook.remove)
        for input_ids in batches:
            model(input_ids=input_ids.to(model.device), use_cache=False, logits_to_keep=1)
            positions += input_ids.numel()

    channels, heads, neurons = [], [], []
    modules = dict(model.named_modules())
    for name, total in squares.items():
        mean = total / positions
        axes = _axes(architecture, f"{name}.weight", weights)
        if "norm_weight" in axes or "norm_excess" in axes:
            channels.append(mean.sqrt())
        elif "intermediate" in axes:
            neurons.append(mean.sqrt() * _output_matrix(modules[name], architecture.fan_in_fan_out).norm(dim=1))
        else:
            heads.append(mean.unflatten(0, (dimensions.key_value_heads, dimensions.group_size)).sum(1).sqrt())
    assert len(heads) == len(neurons) == len(blocks(model))
    return Importance(torch.stack(channels).mean(0).cpu(), torch.stack(heads).cpu(), torch.stack(neurons).cpu())


def _axes(architecture: Any, parameter: str, weights: Weights) -> set[str]:
    return set(architecture.axes_of(parameter)) if parameter in weights.tensors else set()


def _output_matrix(module: nn.Module, transposed: bool) -> Tensor:
    """Return (units in, channels out), whichever way the architecture stores it."""
    weight = module.get_parameter("weight").detach().float()
    return weight if transposed else weight.T


def sort_by_importance(weights: Weights, importance: Importance) -> Weights:
    """Return the same model with its most important units first: same logits, other order.

    One order of channels holds for the whole network, because its blocks share one residual stream; heads move in whole
    groups and neurons within their block.
    """
    dimensions = weights.dimensions
    groups = importance.key_value_heads.argsort(dim=1, descending=True, stable=True)  # (L, K)
    heads = (groups[..., None] * dimensions.group_size + torch.arange(dimensions.group_size)).flatten(1)
    return select(weights, Selection(tuple(range(dimensions.layers)), importance.channels.argsort(descending=True, stable=True), heads,
                                     groups, importance.neurons.argsort(dim=1, descending=True, stable=True)))
