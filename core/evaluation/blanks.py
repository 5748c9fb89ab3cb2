"""Compare masked language models' predictions at the blanks of a text.

A blank is written ``[MASK]``, whatever the mask token of a model's own tokenizer, so that one text can be put to models of any family.
Models of one tokenizer are compared token by token. Where tokenizers differ, tokens are the same if they read the
same, and there is no divergence: it is defined over one vocabulary.

Shapes: T positions, N blanks, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from core.data.masking import blanked
from core.errors import CompatibilityError, DataError
from core.models.architectures import architecture_of
from core.models.compatibility import require_compatible, same_vocabulary
from core.models.entries import LoadedModel
from core.models.forward import eval_mode, require_finite
from core.models.vocabulary import decode_text, require_rows, unpadded_width

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

FIRST = 10  # tokens that are named for each blank


@dataclass(frozen=True, slots=True)
class Fill:
    """A token for a blank and its probability."""

    token: str
    probability: float


@dataclass(frozen=True, slots=True)
class Place:
    """Where a model has a token: its rank among all of the vocabulary, from 1, and its probability."""

    rank: int
    probability: float


@dataclass(frozen=True, slots=True)
class Word:
    """A token that is among the first ones of at least one model.

    Attributes:
        token: its text.
        places: one for each model; None where its vocabulary has no such token.
    """

    token: str
    places: tuple[Place | None, ...]


@dataclass(frozen=True, slots=True)
class Blank:
    """What several models put into one blank.

    Attributes:
        words: the first tokens of every model, by their best rank.
        divergences: nats; KL(first model || this one) for each model, None where their tokenizers differ.
    """

    words: tuple[Word, ...]
    divergences: tuple[float | None, ...]


def fill_blanks(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: str, count: int = FIRST) -> list[list[Fill]]:
    """Return the most likely tokens of every blank of a text, falling.

    Args:
        text: with ``[MASK]`` in every blank.
        count: tokens to name for each.

    Raises:
        DataError: no blank, or more text than the model can read.
        CompatibilityError: the tokenizer has no mask token.
        CorruptModelError: the model's logits are not numbers.
    """
    shares = blank_logits(model, tokenizer, text).softmax(-1)  # (N, V)
    values, tokens = shares.topk(min(count, shares.shape[1]))  # (N, count)
    return [[Fill(decode_text(tokenizer, [token]).strip(), value) for token, value in zip(row, numbers, strict=True)]
            for row, numbers in zip(tokens.tolist(), values.tolist(), strict=True)]


def compare_blanks(models: Sequence[LoadedModel], text: str, count: int = FIRST) -> list[Blank]:
    """Compare what several models predict for every blank of a text, and the divergence of each from the first.

        KL = sum over v of p(v) (log p(v) - log q(v)),    p the first model, q the other, at temperature 1

    Args:
        models: masked ones, the teacher first.
        text: with ``[MASK]`` in every blank.
        count: tokens of each model to name.

    Raises:
        DataError, CompatibilityError, CorruptModelError: as `fill_blanks`.
    """
    logits = [blank_logits(each.model, each.tokenizer, text) for each in models]  # (N, V) each
    families = [next(number for number, other in enumerate(models) if same_vocabulary(other.tokenizer, each.tokenizer))
                for each in models]
    widths = [require_compatible(models[0], each) if family == 0 else 0 for each, family in zip(models, families, strict=True)]
    blanks = []
    for number in range(len(logits[0])):
        of_blank = [each[number] for each in logits]
        divergences = tuple(_divergence(of_blank[0][:width], other[:width]) if width else None
                            for other, width in zip(of_blank, widths, strict=True))
        blanks.append(Blank(_words(models, families, [each.log_softmax(-1) for each in of_blank], count), divergences))
    return blanks


def encode_blanks(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token ids (1, T) of a text on the model's device, and the positions of its blanks (N,). Raises as `fill_blanks`."""
    if tokenizer.mask_token is None:
        raise CompatibilityError("The tokenizer has no mask token.", "A masked-language model's tokenizer was expected.",
                                 "Choose a BERT-type model.")
    ids = tokenizer(blanked(text, tokenizer.mask_token), return_tensors="pt", verbose=False)["input_ids"].to(model.device)
    room = architecture_of(model.config).context(model.config.to_dict())
    if ids.shape[1] > room:
        raise DataError(f"The text takes {ids.shape[1]} tokens.", f"The model reads {room} at most.", "Shorten it.")
    return ids, (ids[0] == tokenizer.mask_token_id).nonzero().squeeze(-1)


def blank_logits(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: str) -> torch.Tensor:
    """Return float32 logits (N, V) of real tokens at every blank, on the CPU. Raises as `fill_blanks`.

    The head computes the whole text: hooks that keep it from other positions would not be safe where threads share a model.
    """
    ids, blanks = encode_blanks(model, tokenizer, text)
    require_rows(ids[0].tolist(), tokenizer, model)
    with eval_mode(model):
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, blanks]
        logits = logits[:, :unpadded_width(tokenizer, model)].float().cpu()
    require_finite(logits)
    return logits


def _divergence(teacher: torch.Tensor, student: torch.Tensor) -> float:
    """Return KL(teacher || student) in nats of two rows of logits (V,)."""
    logp, logq = teacher.log_softmax(-1), student.log_softmax(-1)
    return float((logp.exp() * (logp - logq)).sum().clamp_min(0))  # rounding can give -1e-8


def _words(models: Sequence[LoadedModel], families: Sequence[int], logs: Sequence[torch.Tensor], count: int) -> tuple[Word, ...]:
    """Return the first tokens of every model for one blank, found again in every other.

    Args:
        families: for each model the number of the first one with the same tokenizer.
        logs: log-probabilities (V,) of each model.
    """
    numbers: dict[str, dict[int, int]] = {}  # text -> family -> number of the token
    for loaded, family, log in zip(models, families, logs, strict=True):
        for token, number in _first(loaded.tokenizer, log, count):
            numbers.setdefault(token, {}).setdefault(family, number)
    words = []
    for token, known in numbers.items():
        found = [known[family] if family in known else _number(loaded.tokenizer, token)
                 for loaded, family in zip(models, families, strict=True)]
        words.append(Word(token, tuple(map(_place, logs, found))))
    return tuple(sorted(words, key=lambda word: min(place.rank for place in word.places if place)))


def _first(tokenizer: PreTrainedTokenizerBase, log: torch.Tensor, count: int) -> list[tuple[str, int]]:
    """Return text and number of the most likely tokens. Of tokens that read the same, with and without a space before, the likelier one."""
    found: dict[str, int] = {}
    for number in log.topk(min(3 * count, len(log))).indices.tolist():
        found.setdefault(decode_text(tokenizer, [number]).strip(), number)
    return list(found.items())[:count]


def _number(tokenizer: PreTrainedTokenizerBase, token: str) -> int | None:
    """Return the token of another tokenizer that reads the same, as a word of its own where it has one."""
    spelled = [tokenizer(f"{space}{token}", add_special_tokens=False, verbose=False)["input_ids"] for space in (" ", "")]
    return next((ids[0] for ids in spelled if len(ids) == 1 and decode_text(tokenizer, ids).strip() == token), None)


def _place(log: torch.Tensor, number: int | None) -> Place | None:
    if number is None or number >= len(log):  # of two related vocabularies, one may be the longer
        return None
    return Place(int((log > log[number]).sum()) + 1, float(log[number].exp()))
