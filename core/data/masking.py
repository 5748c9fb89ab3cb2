"""Select and corrupt tokens for masked language modelling (MLM; 1810.04805, section 3.1).

Of a whole batch, a budget of ceil(fraction * tokens) positions is drawn without replacement, in proportion to

    max(count, 1) ** -rarity,        count: how often the token occurs in the training text

so that rare tokens are selected more often (XLM, 1901.07291, section 3.3, as DistilBERT was trained). Special tokens and padding
are never selected. Of the selected positions a fraction is replaced by the mask token, a share by any ordinary token, and the rest
stays: 80, 10 and 10 % as published (1810.04805, section 3.1).

With whole words, the words of a batch are drawn in place of its tokens, in proportion to the mean weight of their tokens, until
the budget is spent.

Shapes: B sequences, T positions.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.config import MaskingSpec
from core.errors import CompatibilityError, DataError
from core.models.vocabulary import vocabulary_size

MASK = "[MASK]"  # how a blank is written in prompts, whatever the tokenizer's own mask token
WRITTEN = re.compile(r"\[mask\]|<mask>|_{2,}", re.IGNORECASE)  # what counts as one; workbench/on_device/worker.js says the same
BLANKS = (f"The film was {MASK}.", f"I {MASK} this movie.", f"The {MASK} was the best part of the film.")


@dataclass(frozen=True, slots=True)
class Masked:
    """A batch to be filled in.

    Attributes:
        input_ids: (B, T) int64, as the model sees them.
        chosen: (B, T) bool; the positions to predict.
    """

    input_ids: np.ndarray
    chosen: np.ndarray


class Masker:
    """Masks batches of one vocabulary.

    Args:
        counts: (V,) how often each token occurs (default: all alike).

    Raises:
        CompatibilityError: the tokenizer has no mask token.
    """

    def __init__(self, spec: MaskingSpec, tokenizer: Any, counts: np.ndarray | None = None) -> None:
        if tokenizer.mask_token_id is None:
            raise CompatibilityError("The tokenizer has no mask token.", "A masked-language model's tokenizer was expected.",
                                     "Choose a BERT-type model.")
        size = vocabulary_size(tokenizer)
        special = np.array(sorted({token for token in tokenizer.all_special_ids if token < size}))
        self.spec, self.mask_token = spec, tokenizer.mask_token_id
        self._ordinary = np.setdiff1d(np.array(sorted(tokenizer.get_vocab().values())), special)
        self._log_weight = np.full(size, -np.inf)
        frequency = np.ones(size) if counts is None else np.maximum(counts[:size], 1)
        self._log_weight[self._ordinary] = -spec.mlm_smoothing * np.log(frequency[self._ordinary])
        self._begins_word = _word_beginnings(tokenizer, size) if spec.whole_word_mask else None

    def mask(self, input_ids: np.ndarray, countable: np.ndarray, seed: Sequence[int]) -> Masked:
        """Mask a batch; the same seed gives the same masks.

        Args:
            input_ids: (B, T) integers.
            countable: (B, T) bool; positions that may be selected.
        """
        rng = np.random.default_rng(seed)
        ids = input_ids.astype(np.int64)
        log_weight = np.where(countable, self._log_weight[ids], -np.inf)
        # Gumbel noise turns the largest keys into a draw without replacement in proportion to the weights.
        noise = rng.gumbel(size=ids.shape)
        budget = math.ceil(self.spec.mlm_probability * countable.sum())
        if self._begins_word is None:
            chosen = _largest(log_weight + noise, budget)
        else:
            chosen = _whole_words(self._begins_word[ids], log_weight, noise, budget)
        fate = rng.random(ids.shape)
        masked = np.where(chosen & (fate < self.spec.mask_replace_prob), self.mask_token, ids)
        swapped = chosen & (fate >= self.spec.mask_replace_prob) & (fate < self.spec.mask_replace_prob + self.spec.random_replace_prob)
        masked[swapped] = rng.choice(self._ordinary, size=int(swapped.sum()))
        return Masked(masked, chosen)


def _whole_words(begins_word: np.ndarray, log_weight: np.ndarray, noise: np.ndarray, budget: int) -> np.ndarray:
    """Return which positions (B, T) to predict: those of whole words.

    Args:
        begins_word: (B, T) bool; whether the token at a position begins a word.
        log_weight, noise: (B, T); see `Masker.mask`.
        budget: positions.
    """
    candidate = np.isfinite(log_weight)
    begins = begins_word | ~candidate
    begins[:, 0] = True
    begins[:, 1:] |= ~candidate[:, :-1]  # what follows a special token is no continuation
    word = np.cumsum(begins.ravel()) - 1  # number of the word that each position belongs to
    lengths = np.bincount(word, weights=candidate.ravel())
    totals = np.bincount(word, weights=np.where(candidate, np.exp(log_weight), 0.0).ravel())
    with np.errstate(divide="ignore", invalid="ignore"):
        keys = np.log(totals / lengths) + noise.ravel()[np.flatnonzero(begins)]
    keys[lengths == 0] = -np.inf
    order = np.argsort(-keys)
    within = np.cumsum(lengths[order]) <= budget
    taken = np.zeros(len(keys), dtype=bool)
    taken[order[within & np.isfinite(keys[order])]] = True
    if not taken.any() and np.isfinite(keys[order[0]]):
        taken[order[0]] = True  # a batch of one long word still has a target
    return taken[word].reshape(begins_word.shape) & candidate


def has_blank(text: str) -> bool:
    """Return whether a blank is written in the text."""
    return WRITTEN.search(text) is not None


def blanked(text: str, mask_token: str = MASK) -> str:
    """Return the text with every blank written as a tokenizer knows it. Raises DataError for a text without one."""
    if not has_blank(text):
        raise DataError(f"There is no blank in '{text[:60]}'." if text.strip() else "There is no text.",
                        f"A sentence with {MASK} was expected.", f"Write {MASK} or ___ in place of a word.")
    return WRITTEN.sub(lambda _: mask_token, text)


def token_counts(input_ids: np.ndarray, size: int) -> np.ndarray:
    """Return how often each of `size` tokens occurs in blocks of any shape."""
    return np.bincount(input_ids.ravel(), minlength=size)[:size]


def _largest(keys: np.ndarray, count: int) -> np.ndarray:
    """Return a mask that is True at the `count` largest finite keys."""
    flat = keys.ravel()
    count = min(count, int(np.isfinite(flat).sum()))
    chosen = np.zeros(flat.size, dtype=bool)
    if count:
        chosen[np.argpartition(-flat, count - 1)[:count]] = True
    return chosen.reshape(keys.shape)


def _word_beginnings(tokenizer: Any, size: int) -> np.ndarray:
    """Return (V,) bool: the tokens that begin a word, by the marks of WordPiece, byte-level BPE and SentencePiece."""
    vocabulary = tokenizer.get_vocab()
    begins = np.ones(size, dtype=bool)
    if any(token.startswith("##") for token in vocabulary):
        continuation = [number for token, number in vocabulary.items() if token.startswith("##")]
    else:
        mark = "▁" if any(token.startswith("▁") for token in vocabulary) else "Ġ"
        special = set(tokenizer.all_special_tokens)
        continuation = [number for token, number in vocabulary.items() if not token.startswith(mark) and token not in special]
    begins[continuation] = False
    return begins
