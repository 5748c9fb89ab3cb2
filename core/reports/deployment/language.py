"""Forms of language models scored on the same held-out text: perplexity by form, by kind of token and place, and the tokens that are lost.

Over the counted positions of the blocks, as in `core.evaluation.language` and `core.evaluation.masked`. Intervals are bootstrapped over
blocks, differences over the same blocks. All forms share a tokenizer.

Shapes: B blocks, T positions, V vocabulary, N counted positions.
"""

from __future__ import annotations

import math
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.data.masking import Masker
from core.data.packing import Blocks, padding_id
from core.errors import CompatibilityError, DataError
from core.evaluation.bootstrap import bootstrap_ratio
from core.evaluation.masked import HELD_OUT, HELD_OUT_SEED
from core.evaluation.statistics import Estimate
from core.models.architectures import Objective
from core.models.vocabulary import unpadded_width
from core.reports.deployment.forms import Inputs, ModelForm
from core.reports.deployment.record import Group, WorstItem

AT_ONCE = 1 << 24  # logits of a forward pass, float32: 64 MiB
CONTEXT_SHOWN = 24  # tokens in front of a token that is lost
PLACES = 4  # parts of a block
LARGEST_EXPONENT = 700.0


@dataclass(frozen=True)
class Passages:
    """What is predicted.

    Attributes:
        read: (B, T) ids as the models read them, masked where the objective masks.
        truth: (B, T) ids of the text.
        rows, columns: (N,) places of the counted targets.
        shift: positions between a target and the logits that predict it: 1 for causal models, else 0.
    """

    read: np.ndarray
    truth: np.ndarray
    mask: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    shift: int


def passages(blocks: Blocks, tokenizer: Any, objective: Objective) -> Passages:
    """Return the counted targets of blocks. Raises DataError where nothing counts."""
    truth = blocks.input_ids.astype(np.int64)
    if objective == "masked":
        masked = Masker(HELD_OUT, tokenizer).mask(blocks.input_ids, blocks.weights > 0, HELD_OUT_SEED)
        read, counts, shift = np.asarray(masked.input_ids, np.int64), masked.chosen, 0
        mask = (blocks.input_ids != padding_id(tokenizer)).astype(np.int64)
    else:
        # Padding stands on the right, where causal attention cannot see it: all positions may count as text.
        read, counts, shift, mask = truth, blocks.weights > 0, 1, np.ones_like(truth)
        counts[:, 0] = False
    rows, columns = np.nonzero(counts)
    if not len(rows):
        raise DataError("No held-out position counts.", "Text whose tokens have a weight above 0 was expected.",
                        "Give more text, or a larger data.validation_fraction.", field="data.validation_fraction")
    return Passages(read, truth, mask, rows, columns, shift)


@dataclass(frozen=True)
class LanguageScores:
    """What each form gave the counted targets.

    Attributes:
        nats: form -> (N,) negative log-probability of the target.
        guesses: form -> (N,) the most likely token.
        divergences: form -> (N,) KL(baseline || form), nats.
    """

    given: Passages
    tokenizer: Any
    nats: Mapping[str, np.ndarray]
    guesses: Mapping[str, np.ndarray]
    divergences: Mapping[str, np.ndarray]

    @property
    def length(self) -> int:
        """Tokens of a block."""
        return self.given.read.shape[1]

    def _by_block(self, values: np.ndarray, part: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return (B,) sums of values and counts of positions."""
        chosen = slice(None) if part is None else part
        rows, size = self.given.rows[chosen], len(self.given.read)
        return np.bincount(rows, values[chosen], size), np.bincount(rows, minlength=size).astype(float)

    def quality(self, form: str, part: np.ndarray | None = None) -> Estimate:
        """Return the perplexity of a form over all targets or a part of them."""
        return bootstrap_ratio(*self._by_block(self.nats[form], part)).map(_exp)

    def loss(self, form: str, baseline: str) -> Estimate:
        """Return the perplexity of a form over that of the baseline, minus 1."""
        return bootstrap_ratio(*self._by_block(self.nats[form] - self.nats[baseline])).map(lambda nats: _exp(nats) - 1)

    def further(self, form: str, baseline: str) -> dict[str, Estimate]:
        """Return KL(baseline || form) and the share of positions with the same most likely token."""
        same = (self.guesses[form] == self.guesses[baseline]).astype(float)
        return {"kl_to_teacher": bootstrap_ratio(*self._by_block(self.divergences[form])),
                "agreement": bootstrap_ratio(*self._by_block(same))}

    def groups(self) -> Iterator[Group]:
        """Yield the perplexity by kind of token and by place in the block."""
        kinds = np.array([_kind(token, self.tokenizer) for token in range(int(self.given.truth.max()) + 1)])
        of_target = kinds[self.given.truth[self.given.rows, self.given.columns]]
        place = self.given.columns * PLACES // self.length
        parts = [("kind of token", kind, of_target == kind) for kind in dict.fromkeys(kinds.tolist())]
        edges = [self.length * number // PLACES for number in range(PLACES + 1)]
        parts += [("place in the block", f"tokens {edges[number] + 1} to {edges[number + 1]}", place == number)
                  for number in range(PLACES)]
        for by, name, part in parts:
            if part.any():
                yield Group(by, name, int(part.sum()), {form: self.quality(form, part) for form in self.nats})

    def worst(self, form: str, baseline: str, count: int) -> list[WorstItem]:
        """Return the targets whose probability falls most in nats, one of a block."""
        rises = self.nats[form] - self.nats[baseline]
        shown: list[WorstItem] = []
        seen: set[int] = set()
        for place in np.argsort(-rises).tolist():
            row, column = int(self.given.rows[place]), int(self.given.columns[place])
            if rises[place] <= 0 or len(shown) == count:
                break
            if row in seen:
                continue
            seen.add(row)
            shown.append(WorstItem(
                self._text(self.given.truth[row, max(0, column - CONTEXT_SHOWN):column]), self._text([self.given.truth[row, column]]),
                {name: self._text([guess[place]]) for name, guess in self.guesses.items()},
                {name: math.exp(-nats[place]) for name, nats in self.nats.items()}))
        return shown

    def warnings(self) -> list[str]:
        """Return what weakens the figures: too few blocks for a bootstrap."""
        blocks = len(np.unique(self.given.rows))
        return [] if blocks >= 20 else [f"Only {blocks} blocks of text were measured: bootstrap intervals over so few are too narrow."]

    def table(self) -> tuple[list[str], list[list[object]]]:
        """Return head and rows of every block: positions that count and the nats of each form."""
        _, counts = self._by_block(next(iter(self.nats.values())))
        sums = [self._by_block(nats)[0] for nats in self.nats.values()]
        return (["block", "positions", *(f"{form} nats" for form in self.nats)],
                [[number, int(count), *(float(each[number]) for each in sums)] for number, count in enumerate(counts) if count])

    def _text(self, tokens: Sequence[int] | np.ndarray) -> str:
        return self.tokenizer.decode([int(token) for token in tokens], clean_up_tokenization_spaces=False)


def score_passages(forms: Sequence[ModelForm], given: Passages, on_progress: Callable[[float], None]) -> LanguageScores:
    """Return what every form gives the targets; blocks are read by all forms before the next ones.

    Args:
        on_progress: called before every pass with the share that is done; what it raises, as a stop, ends the scoring.

    Raises:
        CompatibilityError: a form reads less than a block.
    """
    tokenizer, size = forms[0].loaded.tokenizer, len(given.rows)
    width = unpadded_width(tokenizer, *(form.loaded.model for form in forms))
    for form in forms:
        if form.loaded.entry.context < given.read.shape[1]:
            raise CompatibilityError(f"'{form.loaded.entry.name}' reads {form.loaded.entry.context} tokens.",
                                     f"Blocks of {given.read.shape[1]} were to be read.", "Choose shorter blocks.")
    nats, divergences = ({form.name: np.zeros(size) for form in forms} for _ in range(2))
    guesses = {form.name: np.zeros(size, np.int64) for form in forms}
    at_once = max(1, AT_ONCE // (given.read.shape[1] * width))
    for start in range(0, len(given.read), at_once):
        places = np.flatnonzero((given.rows >= start) & (given.rows < start + at_once))
        if not len(places):
            continue
        rows, columns = given.rows[places] - start, given.columns[places]
        targets = given.truth[start + rows, columns]
        baseline = None
        for form in forms:
            on_progress(start / len(given.read))
            logits = form.predict(_inputs(given, slice(start, start + at_once), form))[rows, columns - given.shift, :width]
            logq = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
            nats[form.name][places] = -logq[np.arange(len(places)), targets]
            guesses[form.name][places] = logq.argmax(1)
            if baseline is None:
                baseline = logq
            else:
                divergences[form.name][places] = (np.exp(baseline) * (baseline - logq)).sum(1)
    return LanguageScores(given, tokenizer, nats, guesses, divergences)


def _inputs(given: Passages, part: slice, form: ModelForm) -> Inputs:
    inputs = {"input_ids": given.read[part], "attention_mask": given.mask[part]}
    return inputs | {"token_type_ids": np.zeros_like(given.read[part])} if form.token_types else inputs


def _kind(token: int, tokenizer: Any) -> str:
    """Return what a token is to a reader."""
    if token in tokenizer.all_special_ids:
        return "special tokens"
    piece = tokenizer.convert_ids_to_tokens(token) or ""
    text = tokenizer.decode([token], clean_up_tokenization_spaces=False)
    bare = text.strip().removeprefix("##")
    if bare and all(character in string.punctuation for character in bare):
        return "punctuation"
    if any(character.isdigit() for character in bare):
        return "numbers"
    # WordPiece marks what continues a word, byte-level and SentencePiece tokenizers what begins one.
    begins = not piece.startswith("##") if not piece.startswith(("Ġ", "▁")) and text == text.strip() and _is_wordpiece(tokenizer) else (
        piece.startswith(("Ġ", "▁")) or text != text.strip())
    return "beginnings of words" if begins else "continuations of words"


def _is_wordpiece(tokenizer: Any) -> bool:
    return any(token.startswith("##") for token in tokenizer.get_vocab())


def _exp(nats: float) -> float:
    return math.exp(min(nats, LARGEST_EXPONENT))
