"""A language model in two halves, so that logits need to exist only where they are looked at.

    logits = transform(states W^T + b),    states = hidden_states[-1] in causal models, those that a masked model's head makes of them

`OutputHead` is the second half: whoever needs logits of states asks it, and none multiplies by a head's matrix alone.

Shapes: B blocks, T positions, D width, V vocabulary, N chosen positions.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.config.ensembles import MixtureMean
from core.errors import CorruptModelError
from core.models.architecture_spec import LogitTransform
from core.models.architectures import architecture_of, head_weight, plain_model
from core.models.checkpoints import TEXT_MODEL_TYPE
from core.models.ensembles import EnsembleReference, members_of
from core.models.mixtures import mixed_logits

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def last_hidden(model: Any, input_ids: Tensor) -> Tensor:
    """Return what enters the output head: (B, T) -> (B, T, D), after the final norm.

    No attention mask is passed: padding stands on the right, where causal attention cannot see it from a real position.
    """
    # Adapters sit inside the plain model, so it computes with them.
    return plain_model(model).base_model(input_ids=input_ids, use_cache=False).last_hidden_state


@dataclass(frozen=True, slots=True)
class OutputHead:
    """The map from the last hidden states to logits.

    Attributes:
        module: the head in the model; where it has no matrix of its own, it multiplies by the token embedding's.
        weight: (V, D).
        bias: (V,), or None.
        transform: what follows the product.
    """

    module: nn.Module
    weight: Tensor
    bias: Tensor | None
    transform: LogitTransform

    def logits(self, states: Tensor, width: int | None = None) -> Tensor:
        """Return float32 logits (..., V), the model's own, from states (..., D) in front of the head.

        Args:
            width: logits beyond it are padding and cut off (default: none are).
        """
        products = self.module(states) if isinstance(self.module, nn.Linear) else F.linear(states, self.weight, self.bias)
        return self.transform(products[..., :width].float())


@dataclass(frozen=True, slots=True)
class MixtureHead(OutputHead):
    """The heads of an ensemble: states of the members stand beside each other, and the mean of what they say is given.

    Attributes:
        heads: of the members; module, weight, bias and transform are those of the first.
        weights, mean: as of `core.models.mixtures.mixed_logits`.
    """

    heads: tuple[OutputHead, ...] = ()
    weights: tuple[float, ...] = ()
    mean: MixtureMean = "arithmetic"

    def split(self, states: Tensor) -> tuple[Tensor, ...]:
        """Return the states (..., D_m) of each member."""
        return states.split([head.weight.shape[1] for head in self.heads], -1)

    def logits(self, states: Tensor, width: int | None = None, temperature: float = 1.0) -> Tensor:
        """Return float32 logits (..., V) whose softmax at a temperature is the mean of the members' at that temperature."""
        members = (head.logits(part, width).flatten(0, -2) for head, part in zip(self.heads, self.split(states), strict=True))
        mixed = mixed_logits(members, self.weights, self.mean, temperature)
        return mixed.view(*states.shape[:-1], mixed.shape[-1])


def output_head(model: Any) -> OutputHead:
    """Return the second half of a language model, in its wrappers or not."""
    plain = plain_model(model)
    if members := members_of(plain):
        heads = tuple(output_head(member) for member in members)
        first, reference = heads[0], cast(EnsembleReference, plain.reference)
        return MixtureHead(first.module, first.weight, first.bias, first.transform, heads, reference.weights, reference.mean)
    architecture = architecture_of(plain.config)
    module = plain.get_submodule(architecture.head)
    return OutputHead(module, head_weight(plain), getattr(module, "bias", None), architecture.logit_transform(plain.config))


def log_softmax(head: OutputHead, hidden_ND: Tensor, width: int) -> Tensor:
    """Return float32 log-probabilities (N, width) from states in front of the output head; logits beyond `width` are padding."""
    return torch.log_softmax(head.logits(hidden_ND, width), dim=-1)


@dataclass(frozen=True, slots=True)
class States:
    """What a forward pass leaves.

    Attributes:
        hidden: (B, T, D) of the embedding and of every block; all but the last are None unless they were requested.
        head_input: (B, T, D'); what the output head multiplies.
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
    if members := members_of(plain_model(model)):
        each = [forward(member, input_ids, attention_mask) for member in members]
        joined = torch.cat([states.head_input for states in each], -1)
        return States((joined,), joined)
    selected = True if all_hidden_states else [-1]
    architecture = architecture_of(plain_model(model).config)
    if architecture.objective == "causal":
        hidden = model(input_ids=input_ids, output_hidden_states=selected, logits_to_keep=1, use_cache=False).hidden_states
        return States(hidden, hidden[-1])
    seen: list[Tensor] = []

    def keep(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        seen.append(inputs[0])
        return (inputs[0][:, :1],)

    def keep_output(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        seen.append(output)
        return output[:, :1]

    if architecture.head_input is None:
        handle = output_head(model).module.register_forward_pre_hook(keep)
    else:
        handle = plain_model(model).get_submodule(architecture.head_input).register_forward_hook(keep_output)
    try:
        hidden = model(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=selected).hidden_states
    finally:
        handle.remove()
    return States(hidden, seen[0])


def require_finite(logits: Tensor) -> None:
    """Raise CorruptModelError for logits that are not numbers."""
    if not logits.isfinite().all():
        raise CorruptModelError("The model answers with values that are not numbers.", "Finite logits were expected.",
                                "Its weights are damaged or its training diverged: choose another model.")


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
    """Return whether the model tells two texts of a pair apart by a type of their tokens; of an ensemble, whether its first member does."""
    model = next(iter(members_of(model)), model)
    return "token_type_ids" in inspect.signature(model.forward).parameters and getattr(model.config, "type_vocab_size", 0) > 1


def max_positions(*models: Any) -> int:
    """Return the length, in tokens, of the longest sequence that all of them read."""
    return min(_positions(model.config) for model in models)


def _positions(config: Any) -> int:
    if config.model_type == TEXT_MODEL_TYPE:  # no architecture of `core.models.families`
        return int(config.max_position_embeddings)
    return architecture_of(config).context(config.to_dict())
