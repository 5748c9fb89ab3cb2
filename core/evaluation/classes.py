"""Class probabilities of one text.

Shapes: T tokens, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.errors import CompatibilityError, DataError
from core.models.architectures import label_names
from core.models.forward import eval_mode, max_positions, require_finite, uses_token_types
from core.models.vocabulary import require_rows

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class ClassShare:
    """A class and its probability."""

    label: str
    probability: float


def class_probabilities(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: str, pair: str | None = None) -> list[ClassShare]:
    """Return the probabilities of all classes, in the model's own order.

    They are the softmax of the logits; for a multi-label model, the sigmoid of each.

    Args:
        pair: the second text, for models that judge two.

    Raises:
        DataError: no text, or more than the model can read.
        CompatibilityError: a model that gives a number and no classes.
        CorruptModelError: the model's logits are not numbers.
    """
    inputs = encode_text(model, tokenizer, text, pair)
    with eval_mode(model):
        logits = model(**inputs).logits[0].float().cpu()  # (C,)
    require_finite(logits)
    shares = logits.sigmoid() if model.config.problem_type == "multi_label_classification" else logits.softmax(-1)
    return [ClassShare(label, share) for label, share in zip(label_names(model.config), shares.tolist(), strict=True)]


def encode_text(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: str, pair: str | None = None) -> dict[str, Any]:
    """Return what the model reads of a text, or of two: tensors (1, T) on its device. Raises as `class_probabilities`."""
    if len(label_names(model.config)) < 2:
        raise CompatibilityError("The model gives a single number.", "A model that tells at least two classes apart was expected.",
                                 "Choose another model.")
    if not text.strip():
        raise DataError("There is no text.", "A sentence or a review was expected.", "Write one.")
    inputs: dict[str, torch.Tensor] = dict(tokenizer(text, pair or None, return_tensors="pt", verbose=False))
    if not uses_token_types(model):
        inputs.pop("token_type_ids", None)
    count, room = inputs["input_ids"].shape[1], max_positions(model)
    if count > room:
        raise DataError(f"The text takes {count} tokens.", f"The model reads {room} at most.", "Shorten it.")
    require_rows(inputs["input_ids"][0].tolist(), tokenizer, model)
    return {name: tensor.to(model.device) for name, tensor in inputs.items()}
