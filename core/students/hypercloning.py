"""Widen a model by a whole factor without changing what it computes, by repeating its units: HyperCloning (2409.12903).

Every unit is there n times: h becomes [h, ..., h], heads and neurons likewise. What reads repeated units is divided by n, so that their sum
is what it was; norms are as they were, since neither the mean nor the mean square of h changes.

    embeddings   E' = [E, ..., E]            norms        g' = [g, ..., g], b' = [b, ..., b]
    matrices     W' = repeat(W, n, n) / n    biases       b' = [b, ..., b]
    head         W' = [W, ..., W] / n; a tied one stays tied, and the final norm is divided by n in its place

Unlike zero-initialised units (`core.students.resizing`), repeated ones are used from the first step on. Exact copies get equal gradients
and stay copies for ever; noise whose sum over the copies is 0 tells them apart without changing what is computed.
"""

from __future__ import annotations

import math

import torch

from core.errors import ConfigError, UnsupportedModelError
from core.students.resizing import Selection, Weights, select

SCALED_AXES = {"norm_excess", "embedded", "heads_norm", "kv_norm"}  # of families whose widths enter the computation elsewhere too


def hypercloned(weights: Weights, factor: int, noise: float = 0.0, seed: int = 0) -> Weights:
    """Return the model with `factor` times the channels, heads and neurons.

    Args:
        noise: standard deviation of what is added to one half of the copies of a reader's columns and taken from the other, relative to
            the standard deviation of the matrix: the sum over copies, and so what is computed, stays. 0 leaves exact copies.

    Raises:
        ConfigError: a factor below 2, or noise with an odd factor.
        UnsupportedModelError: a family whose axes are not described, or whose norms or embeddings know their width.
    """
    if factor < 2 or (noise and factor % 2):
        raise ConfigError(f"A factor of {factor} was given{' with noise' if noise else ''}.", "2 or more was expected, even with noise.")
    old, architecture = weights.dimensions, weights.architecture
    if any(SCALED_AXES & set(architecture.axes_of(name)) for name in weights.tensors):
        raise UnsupportedModelError("Repeating its units would change what this model computes.",
                                    "A family was expected whose norms and embeddings do not depend on the width.")
    layers = old.layers
    # Query heads in the order of the repeated key heads: a query head stays with its own.
    cloned = select(weights, Selection(
        tuple(range(layers)), _repeated(old.hidden, factor), _repeated(old.heads, factor).repeat(layers, 1),
        _repeated(old.key_value_heads, factor).repeat(layers, 1), _repeated(old.intermediate_size, factor).repeat(layers, 1)))
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, tensor in cloned.tensors.items():
        axes = architecture.axes_of(name)
        if "norm_weight" in axes:
            tensor = tensor * math.sqrt(factor)  # `select` prepared the norm for channels that add nothing; these do
        if weights.config.tie_word_embeddings and architecture.final_norm is not None and name.startswith(f"{architecture.final_norm}."):
            tensor = tensor / factor
        reads = _reading_axis(axes)
        if reads is not None:
            tensor = tensor / factor
            if noise:
                tensor = tensor + _cancelling(tensor, reads, factor, noise, generator)
        tensors[name] = tensor
    return Weights(cloned.config, tensors, cloned.origin)


def _repeated(units: int, factor: int) -> torch.Tensor:
    return torch.arange(units).repeat(factor)


def _reading_axis(axes: tuple[str, ...]) -> int | None:
    """Return the dimension of a matrix along which it sums over units; None for what sums over none."""
    if "hidden_in" in axes:
        return axes.index("hidden_in")
    if "hidden_out" in axes:
        return next((dim for dim, axis in enumerate(axes) if axis in ("heads", "intermediate")), None)
    return None


def _cancelling(tensor: torch.Tensor, dim: int, factor: int, noise: float, generator: torch.Generator) -> torch.Tensor:
    """Return noise of the tensor's shape whose sum over the copies along `dim` is 0: that of one half is taken from the other."""
    shape = list(tensor.shape)
    shape[dim] //= factor
    parts = [torch.randn(shape, generator=generator) * noise * tensor.std().item() for _ in range(factor // 2)]
    return torch.cat([*parts, *(-part for part in parts)], dim).to(tensor.dtype)
