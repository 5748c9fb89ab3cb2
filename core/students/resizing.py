"""Change a model's sizes: keep some of its units, in another order if need be, and add units that change nothing.

A `Selection` says for every block, channel, head and neuron of the new model which unit of the old one it is, or that it
is new. Subsets, permutations, replication and function-preserving expansion are all selections, and `select` is the one
place where weights are cut.

New channels are zero-initialised, so that they change nothing. What is written into them is 0, or, where norms subtract the mean, the
mean of what is written into the old ones, so that neither the mean nor the sum of squared deviations changes; all norm weights are
multiplied by sqrt(old width / new width), because a norm divides by the width. New heads and neurons write nothing. An identity block
writes nothing at all. A model that is only expanded therefore computes what it computed before, up to the norms' epsilon.

Function-preserving expansion is Net2Net's (1511.05641), for language models HyperCloning's (2409.12903), both by other means; in
2605.07783, section 3, zero-padding is not corrected for norms. Cutting units that belong together as one (a neuron with its rows and
columns, a head with its group, a channel in every layer) is LLM-Pruner's (2305.11627, section 3.1); ranking them by
activations is Minitron's (2407.14679, section 2.2).

Shapes: L blocks, D channels, H query heads, K key and value heads, S channels of a head, F neurons.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from core.models.architecture_spec import CHANNELS
from core.models.architectures import ArchitectureSpec, architecture_of, is_tied, plain_model, with_blocks, with_tying
from core.models.dimensions import Dimensions, with_dimensions
from core.models.loading import model_from_config

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

NEW = -1


@dataclass(frozen=True, slots=True)
class Weights:
    """A model as data: its configuration and its parameters by canonical name, tied weights once.

    Attributes:
        origin: for every block, the block of the largest model of its family that it came from.
    """

    config: PreTrainedConfig
    tensors: Mapping[str, Tensor]
    origin: tuple[int, ...]

    @classmethod
    def of(cls, model: PreTrainedModel, origin: Sequence[int] | None = None) -> Weights:
        """Return the weights of a model, shared with it. By default it is itself the largest of its family."""
        model = plain_model(model)
        config = with_tying(model.config, is_tied(model))
        head = f"{architecture_of(config).head}.weight"
        tensors = {name: tensor for name, tensor in model.state_dict().items() if not (config.tie_word_embeddings and name == head)}
        return cls(config, tensors, tuple(range(Dimensions.from_config(config).layers)) if origin is None else tuple(origin))

    @property
    def architecture(self) -> ArchitectureSpec:
        """Return the architecture of the configuration."""
        return architecture_of(self.config)

    @property
    def dimensions(self) -> Dimensions:
        """Return the sizes of the configuration."""
        return Dimensions.from_config(self.config)

    def model(self, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
        """Return a model of its own with these weights, in evaluation mode."""
        model = model_from_config(self.config, "causal", dtype)
        tensors = dict(self.tensors)
        if self.config.tie_word_embeddings:
            tensors[f"{self.architecture.head}.weight"] = tensors[f"{self.architecture.embeddings}.weight"]
        model.load_state_dict(tensors)
        return model.eval()


@dataclass(frozen=True, slots=True)
class Selection:
    """Which old unit each unit of the new model is; `NEW` for one that the old model lacks.

    Attributes:
        layers: old block of every new block (L'); a block may occur twice.
        identity: positions among the new blocks that write nothing: zero-initialised, so that they compute the identity.
        channels: (D'), the same for the whole network, because all blocks share one residual stream.
        heads, key_value_heads, neurons: (L', H'), (L', K'), (L', F'); units of the old block that the new block comes from.
    """

    layers: tuple[int, ...]
    channels: Tensor
    heads: Tensor
    key_value_heads: Tensor
    neurons: Tensor
    identity: frozenset[int] = frozenset()

    @classmethod
    def resize(cls, old: Dimensions, new: Dimensions, layers: Sequence[int] | None = None, identity: Sequence[int] = ()) -> Selection:
        """Return the first units of each kind, and as many new ones as it takes.

        Query heads stay in their groups: where groups grow or shrink, heads are added or left out at the end of each group,
        because a query head must keep reading the key head that it was trained with.

        Args:
            layers: old block of every new block (default: the first ones).
        """
        layers = tuple(range(new.layers)) if layers is None else tuple(layers)
        group, place = torch.arange(new.heads) // new.group_size, torch.arange(new.heads) % new.group_size
        heads = torch.where((group < old.key_value_heads) & (place < old.group_size), group * old.group_size + place, NEW)
        rows = (len(layers), 1)
        key_value_heads, neurons = _first(new.key_value_heads, old.key_value_heads), _first(new.intermediate_size, old.intermediate_size)
        return cls(layers, _first(new.hidden, old.hidden), heads.repeat(rows), key_value_heads.repeat(rows), neurons.repeat(rows),
                   frozenset(identity))


def _first(wanted: int, there: int) -> Tensor:
    index = torch.arange(wanted)
    return torch.where(index < there, index, NEW)


def select(weights: Weights, selection: Selection) -> Weights:
    """Return a smaller, larger or reordered model; see the module's docstring.

    Args:
        selection: its sizes must be those of a valid model: `core.models.dimensions.with_dimensions` says what is not.

    Raises:
        ConfigError, UnsupportedModelError: as `core.models.dimensions.with_dimensions` and `ArchitectureSpec.axes_of`.
    """
    architecture, old = weights.architecture, weights.dimensions
    new = replace(old, layers=len(selection.layers), hidden=len(selection.channels), heads=selection.heads.shape[1],
                  key_value_heads=selection.key_value_heads.shape[1], intermediate_size=selection.neurons.shape[1])
    config = with_dimensions(with_blocks(weights.config, selection.layers), new)
    scales = _scales(weights, old, new)
    by_block: dict[int, dict[str, Tensor]] = {}
    tensors: dict[str, Tensor] = {}
    for name, tensor in weights.tensors.items():
        block = architecture.block_of(name)
        if block is None:
            final = architecture.final_norm is not None and name.startswith(f"{architecture.final_norm}.")
            tensors[name] = _cut(tensor, architecture.axes_of(name), selection, 0, old, architecture.norms_subtract_mean,
                                 {**scales, "norm_excess": scales["final"]} if final else scales)
        else:
            by_block.setdefault(block, {})[name] = tensor
    for position, block in enumerate(selection.layers):
        for name, tensor in by_block[block].items():
            axes = architecture.axes_of(name)
            cut = _cut(tensor, axes, selection, position, old, architecture.norms_subtract_mean, scales)
            writes_nothing = position in selection.identity and "hidden_out" in axes
            tensors[architecture.with_block(name, position)] = torch.zeros_like(cut) if writes_nothing else cut
    return Weights(config, tensors, tuple(weights.origin[block] for block in selection.layers))


def _scales(weights: Weights, old: Dimensions, new: Dimensions) -> dict[str, float]:
    """Return by what factor the scales of norms change, and embeddings that the model multiplies by the root of its width (Gemma).

    Where such a matrix is the head's too, the final norm takes the factor back.
    """
    def of_norm(before: int, after: int) -> float:
        return math.sqrt(before / after) if after > before else 1.0

    scale, embedded = of_norm(old.hidden, new.hidden), math.sqrt(old.hidden / new.hidden)
    return {"norm_weight": scale, "norm_excess": scale, "embedded": embedded,
            "final": scale / embedded if weights.config.tie_word_embeddings else scale,
            "heads_norm": of_norm(old.heads, new.heads), "kv_norm": of_norm(old.key_value_heads, new.key_value_heads)}


def _cut(tensor: Tensor, axes: tuple[str, ...], selection: Selection, position: int, old: Dimensions, norms_subtract_mean: bool,
         scales: Mapping[str, float]) -> Tensor:
    """Choose along every dimension of one parameter."""
    for dim, axis in enumerate(axes):
        if axis == "-":
            continue
        index = _index(axis, selection, position, old).to(tensor.device)
        chosen = tensor.index_select(dim, index.clamp_min(0))
        new = index == NEW
        if new.any():
            fill: Any = 0
            if axis == "hidden_out" and norms_subtract_mean:
                fill = tensor.mean(dim, keepdim=True)
            elif axis in ("norm_weight", "heads_norm", "kv_norm"):
                fill = 1
            shape = [-1 if each == dim else 1 for each in range(tensor.dim())]
            chosen = torch.where(new.view(shape), torch.as_tensor(fill, dtype=tensor.dtype, device=tensor.device), chosen)
        scale = scales.get(axis, 1.0)
        if scale != 1.0:
            chosen = (1 + chosen) * scale - 1 if axis == "norm_excess" else chosen * scale
        tensor = chosen
    return tensor.contiguous()


def inherited_mask(weights: Weights, selection: Selection) -> dict[str, Tensor]:
    """Return which weights of the selected model the old one has, as bool tensors by name.

    It has all but those of new units and identity blocks.
    """
    architecture, old = weights.architecture, weights.dimensions
    inherited: dict[str, Tensor] = {}
    for name in select(weights, selection).tensors:
        position = architecture.block_of(name) or 0
        axes = architecture.axes_of(name)
        mask = torch.ones((1,) * len(axes), dtype=torch.bool)
        for dim, axis in enumerate(axes):
            if axis != "-":
                known = _index(axis, selection, position, old) != NEW
                mask = mask & known.view([-1 if each == dim else 1 for each in range(len(axes))])
        writes_nothing = architecture.block_of(name) is not None and position in selection.identity and "hidden_out" in axes
        inherited[name] = torch.zeros_like(mask) if writes_nothing else mask
    return inherited


def _index(axis: str, selection: Selection, position: int, old: Dimensions) -> Tensor:
    """Return the old place of every new place along an axis."""
    if axis in CHANNELS:
        return selection.channels
    if axis in ("intermediate", "gate_up"):
        neurons = selection.neurons[position]
        return neurons if axis == "intermediate" else torch.cat([neurons, _after(neurons, old.intermediate_size)])
    groups, heads = selection.key_value_heads[position], selection.heads[position]
    if axis in ("query_heads", "kv_heads"):
        return heads if axis == "query_heads" else groups
    if axis in ("kv", "kv_norm"):
        return _spread(groups, old.head_size)
    if axis in ("heads", "heads_norm"):
        return _spread(heads, old.head_size)
    if axis == "qkv_head":
        return _spread(heads, 3 * old.head_size)
    queries, keys = old.heads * old.head_size, old.key_value_heads * old.head_size
    kv = _spread(groups, old.head_size)
    return torch.cat([_spread(heads, old.head_size), _after(kv, queries), _after(kv, queries + keys)])


def _after(places: Tensor, offset: int) -> Tensor:
    """Return the same places of a part that begins at `offset`."""
    return torch.where(places == NEW, NEW, places + offset)


def _spread(units: Tensor, size: int) -> Tensor:
    """Return the places of units of `size` places each."""
    places = units[:, None] * size + torch.arange(size)
    return torch.where(units[:, None] == NEW, NEW, places).flatten()


def resized(weights: Weights, new: Dimensions, layers: Sequence[int] | None = None, identity: Sequence[int] = ()) -> Weights:
    """Return the first units of each kind, and zero-initialised new ones where there are too few: `select` with `Selection.resize`."""
    return select(weights, Selection.resize(weights.dimensions, new, layers, identity))
