"""What a masked-language model puts into a blank, and how two models differ about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from core.anatomy import anatomy_of
from core.errors import DataError
from core.evaluation.forward import evaluating, forward, log_softmax, output_head
from core.tokenizer import real_width

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Fill:
    """A token for a blank and its probability."""

    token: str
    probability: float


def fill_blanks(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: str, count: int = 10) -> list[list[Fill]]:
    """The most likely tokens of every blank of a text, falling.

    Args:
        text: with the tokenizer's mask token in every blank.
        count: tokens to name for each.

    Raises:
        DataError: no blank, or more text than the model can read.
    """
    ids, blanks = encode_blanks(model, tokenizer, text)
    with evaluating(model):
        states = forward(model, ids, torch.ones_like(ids)).before_head[0, blanks]  # (N, D)
        values, tokens = log_softmax(output_head(model), states, real_width(tokenizer, model)).exp().topk(count)  # (N, count)
    return [[Fill(tokenizer.decode([token]).strip(), value) for token, value in zip(row, numbers, strict=True)]
            for row, numbers in zip(tokens.tolist(), values.tolist(), strict=True)]


def blank_divergence(teacher: PreTrainedModel, student: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: str) -> list[float]:
    """KL(teacher || student) in nats for every blank of a text. The models must share `tokenizer`. Raises as `fill_blanks`."""
    ids, blanks = encode_blanks(student, tokenizer, text)
    width = real_width(tokenizer, teacher, student)
    with evaluating(teacher, student):
        logp, logq = (log_softmax(output_head(model), forward(model, ids, torch.ones_like(ids)).before_head[0, blanks], width)
                      for model in (teacher, student))
    return (logp.exp() * (logp - logq)).sum(-1).clamp_min(0).tolist()  # rounding can give -1e-8


def encode_blanks(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids (1, T) of a text on the model's device, and the positions of its blanks (N,). Raises as `fill_blanks`."""
    ids = tokenizer(text, return_tensors="pt", verbose=False)["input_ids"].to(model.device)
    blanks = (ids[0] == tokenizer.mask_token_id).nonzero().squeeze(-1)
    if not len(blanks):
        raise DataError(f"There is no blank in '{text[:60]}'.", f"A sentence with {tokenizer.mask_token} was expected.",
                        f"Write {tokenizer.mask_token} in place of a word.")
    room = anatomy_of(model.config).context(model.config.to_dict())
    if ids.shape[1] > room:
        raise DataError(f"The text takes {ids.shape[1]} tokens.", f"The model reads {room} at most.", "Shorten it.")
    return ids, blanks
