"""A causal language model in two halves, so that logits need to exist only where they are looked at.

Shapes: B blocks, T positions, D width, V vocabulary, N chosen positions.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from core.anatomy import plain_model
from core.losses import CHUNK_ELEMENTS


def last_hidden(model: Any, input_ids: Tensor) -> Tensor:
    """What enters the output head: (B, T) -> (B, T, D), after the final norm.

    No attention mask is passed: padding stands on the right, where causal attention cannot see it from a real position.
    """
    # Adapters sit inside the plain model, so it computes with them.
    return plain_model(model).base_model(input_ids=input_ids, use_cache=False).last_hidden_state


def output_head(model: Any) -> nn.Linear:
    """The map from the last hidden states to logits: (N, D) -> (N, V)."""
    return plain_model(model).get_output_embeddings()


def chunks(positions: int, width: int) -> Iterator[slice]:
    """Slices of so many positions that their logits stay small, whatever the vocabulary."""
    step = max(1, CHUNK_ELEMENTS // width)
    return (slice(start, start + step) for start in range(0, positions, step))


def log_softmax(head: Any, hidden_ND: Tensor, width: int) -> Tensor:
    """Float32 log-probabilities (N, width) from states in front of the output head; logits beyond `width` are padding."""
    return torch.log_softmax(head(hidden_ND)[:, :width].float(), dim=-1)


@contextmanager
def evaluating(*models: Any) -> Iterator[None]:
    """Inference mode with dropout off; every model goes back to the mode that it was in."""
    before = [model.training for model in models]
    try:
        for model in models:
            model.eval()
        with torch.inference_mode():
            yield
    finally:
        for model, training in zip(models, before, strict=True):
            model.train(training)
