"""A language model in two halves, so that logits need to exist only where they are looked at.

    logits = head(states),    states = hidden_states[-1] in causal models, transform(hidden_states[-1]) in masked ones

Shapes: B blocks, T positions, D width, V vocabulary, N chosen positions.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from core.models.architectures import architecture_of, plain_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def last_hidden(model: Any, input_ids: Tensor) -> Tensor:
    """Return what enters the output head: (B, T) -> (B, T, D), after the final norm.

    No attention mask is passed: padding stands on the right, where causal attention cannot see it from a real position.
    """
    # Adapters sit inside the plain model, so it computes with them.
    return plain_model(model).base_model(input_ids=input_ids, use_cache=False).last_hidden_state


def output_head(model: Any) -> nn.Linear:
    """Return the map from the last hidden states to logits: (N, D) -> (N, V)."""
    return plain_model(model).get_output_embeddings()


def log_softmax(head: Any, hidden_ND: Tensor, width: int) -> Tensor:
    """Return float32 log-probabilities (N, width) from states in front of the output head; logits beyond `width` are padding."""
    return torch.log_softmax(head(hidden_ND)[:, :width].float(), dim=-1)


@dataclass(frozen=True, slots=True)
class States:
    """What a forward pass leaves.

    Attributes:
        hidden: (B, T, D) of the embedding and of every block; all but the last are None unless they were requested.
        before_head: (B, T, D'); what the output head multiplies.
    """

    hidden: tuple[Tensor | None, ...]
    head_input: Tensor

    @property
    def last(self) -> Tensor:
        """(B, T, D); the last block's states."""
        last = self.hidden[-1]
        assert last is not None
        return last


def forward(model: nn.Module, input_ids: Tensor, attention_mask: Tensor | None = None, *, all_hidden_states: bool = False) -> States:
    """Run a model whose output head computes one position only.

    The whole model is called, so that wrappers for several processes see it.

    Args:
        input_ids: (B, T).
        attention_mask: (B, T), 1 at tokens and 0 at padding; masked models need it. A causal model does without: padding stands on the
            right, where causal attention cannot see it from a real position.
        all_hidden_states: keep the states of all blocks.
    """
    selected = True if all_hidden_states else [-1]
    if architecture_of(plain_model(model).config).objective == "causal":
        hidden = model(input_ids=input_ids, output_hidden_states=selected, logits_to_keep=1, use_cache=False).hidden_states
        return States(hidden, hidden[-1])
    seen: list[Tensor] = []

    def keep(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        seen.append(inputs[0])
        return (inputs[0][:, :1],)

    handle = output_head(model).register_forward_pre_hook(keep)
    try:
        hidden = model(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=selected).hidden_states
    finally:
        handle.remove()
    return States(hidden, seen[0])


@contextmanager
def eval_mode(*models: Any) -> Iterator[None]:
    """Switch to inference mode with dropout off; every model goes back to the mode that it was in."""
    before = [model.training for model in models]
    try:
        for model in models:
            model.eval()
        with torch.inference_mode():
            yield
    finally:
        for model, training in zip(models, before, strict=True):
            model.train(training)


def uses_token_types(model: PreTrainedModel) -> bool:
    """Return whether the model tells two texts of a pair apart by a type of their tokens."""
    return "token_type_ids" in inspect.signature(model.forward).parameters and getattr(model.config, "type_vocab_size", 0) > 1


def max_positions(*models: Any) -> int:
    """Return the length, in tokens, of the longest sequence that all of them read."""
    return min(architecture_of(model.config).context(model.config.to_dict()) for model in models)
