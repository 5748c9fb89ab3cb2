"""Prune the intermediate size of a model and reconstruct its output matrices by least squares, in closed form.

With a_n (F,) what enters the output matrix W (F, D) of a feed-forward part at position n of a calibration slice, and K the
neurons that are kept, the reconstructed matrix is the ridge regression of the old output on the kept neurons,

    W' = argmin_V sum_n |a_n W - a_nK V|^2 + lambda |V|^2 = (G_KK + lambda I)^-1 G_K: W        G = sum_n a_n a_n^T

so that the kept neurons take over what the others wrote, as far as they know of it (the reconstruction step of pruning, as in
1707.06168, section 3.1). No gradient, and nothing but one pass over the slice.

Shapes: N positions, F neurons, K of them kept, D channels.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from core.students.resizing import Weights, resized

RIDGE = 1e-3  # lambda, relative to the mean square of a kept neuron


def neuron_grams(weights: Weights, input_ids: Tensor, batch_size: int = 8) -> dict[int, Tensor]:
    """Return G (F, F) of every block, float32.

    Args:
        input_ids: the calibration slice (B, T).
    """
    model = weights.model()
    grams: dict[int, Tensor] = {}

    def adder(block: int) -> Any:
        def add(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
            neurons_NF = inputs[0].detach().float().flatten(0, -2)
            grams[block] = grams.get(block, 0) + neurons_NF.T @ neurons_NF

        return add

    with ExitStack() as hooks, torch.inference_mode():
        for name, module in model.named_modules():
            block = _block_of_output_matrix(weights, f"{name}.weight")
            if block is not None:
                hooks.callback(module.register_forward_pre_hook(adder(block)).remove)
        for ids in input_ids.split(batch_size):
            model(input_ids=ids.long(), use_cache=False, logits_to_keep=1)
    return {block: gram.clone() for block, gram in grams.items()}


def least_squares_reconstruction(weights: Weights, neurons: int, grams: dict[int, Tensor]) -> Weights:
    """Return the first neurons of every block, their output matrices reconstructed to write what all of them wrote."""
    dimensions = weights.dimensions
    cut = resized(weights, replace(dimensions, intermediate_size=neurons))
    tensors = dict(cut.tensors)
    for name, tensor in weights.tensors.items():
        block = _block_of_output_matrix(weights, name)
        if block is not None:
            transposed = weights.architecture.axes_of(name)[0] == "intermediate"
            matrix_FD = (tensor if transposed else tensor.T).float()
            gram = grams[block]
            kept = gram[:neurons, :neurons]
            ridge = RIDGE * kept.diagonal().mean().clamp_min(1e-12) * torch.eye(neurons, dtype=torch.float32)
            reconstructed = torch.linalg.solve(kept + ridge, gram[:neurons] @ matrix_FD).to(tensor.dtype)
            tensors[name] = reconstructed if transposed else reconstructed.T.contiguous()
    return Weights(cut.config, tensors, cut.origin)


def _block_of_output_matrix(weights: Weights, name: str) -> int | None:
    """Return the block whose neurons a parameter writes to the residual stream; None for any other parameter."""
    writes = name in weights.tensors and set(weights.architecture.axes_of(name)) == {"hidden_out", "intermediate"}
    return weights.architecture.block_of(name) if writes else None
