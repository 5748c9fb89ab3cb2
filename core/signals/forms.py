"""A teacher's answers as arrays that are kept, and back: last hidden states, the likeliest tokens, or tokens drawn from it.

    form      bytes a token                          read back as
    hidden    2 D                                    states with the teacher's head: exact, up to bf16
    top_k     6 k + 4; above 65,536 tokens 8 k + 4   the k likeliest tokens and the tail, in fp32
    sampled   3 or 4 for each token drawn, + 5       counts over draws, and the entropy of what they were drawn from (2503.16870)

Shapes: B blocks, T positions, D width, V vocabulary, k likeliest tokens, S draws.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from core.config import SignalSpec
from core.models.chunking import chunks
from core.signals.source import Form
from core.signals.targets import Head, Mixture, Sampled, Targets, TopK

Arrays = dict[str, Tensor]
SHORT_IDS = 1 << 16  # ids below it are kept in two bytes


class StoredForm(Protocol):
    """How answers are kept. Two forms that are equal keep the same."""

    @property
    def name(self) -> Form:
        """The form of the answers that are read back."""

    def describe(self) -> dict[str, Any]:
        """Return everything that the arrays depend on beside teacher and text, as plain data."""

    def bytes_per_token(self, width: int, vocabulary: int) -> float:
        """Return the size on disk, of token ids too, for a teacher of that width and vocabulary."""

    def encode(self, answers: Head | Mixture | TopK, blocks: int, vocabulary: int, seeds: Sequence[int]) -> list[Arrays]:
        """Return the arrays of each block.

        Args:
            answers: at all B T positions, in the order of the blocks.
            vocabulary: logits that stand for tokens.
            seeds: of what is drawn for each block, so that nothing depends on what is queried together.
        """

    def decode(self, rows: Sequence[Mapping[str, Tensor]], positions: Tensor, head: Head | None, vocabulary: int) -> Targets:
        """Return the answers at the chosen positions, on the device of `positions`.

        Args:
            rows: the arrays of each block.
            positions: (B, T) bool.
            head: the teacher's, without states; needed for hidden states.
        """


@dataclass(frozen=True)
class HiddenStates:
    """The states in front of the output head, in bf16."""

    name: Form = "hidden"

    def describe(self) -> dict[str, Any]:
        """Return the name alone."""
        return {"form": self.name}

    def bytes_per_token(self, width: int, vocabulary: int) -> float:
        """Return two bytes a channel, and the id."""
        return 2.0 * width + 4

    def encode(self, answers: Head | Mixture | TopK, blocks: int, vocabulary: int, seeds: Sequence[int]) -> list[Arrays]:
        """Return ``states`` (T, D) of each block."""
        assert isinstance(answers, Head), "hidden states are a local teacher's"
        return [{"states": states} for states in answers.states.to(torch.bfloat16).cpu().view(blocks, -1, answers.states.shape[-1])]

    def decode(self, rows: Sequence[Mapping[str, Tensor]], positions: Tensor, head: Head | None, vocabulary: int) -> Head:
        """Return the states with the head."""
        return self.at(self.whole(rows, positions.device), positions, head)

    def whole(self, rows: Sequence[Mapping[str, Tensor]], device: torch.device) -> Tensor:
        """Return the states of all positions, (B, T, D) in bf16."""
        return torch.stack([row["states"] for row in rows]).to(device)

    def at(self, states: Tensor, positions: Tensor, head: Head | None) -> Head:
        """Return the states (B, T, D) at the chosen positions with the head, in its format."""
        assert head is not None, "the head is kept with the states"
        return Head(states[positions].to(head.weight.dtype), head.weight, head.bias, head.transform)


@dataclass(frozen=True)
class LikeliestTokens:
    """The k likeliest tokens at the temperature of the loss.

    Attributes:
        tail: whether what is left counts as one more outcome; else the kept are renormalised.
    """

    k: int
    temperature: float
    tail: bool = True

    @property
    def name(self) -> Form:
        """The form that is read back."""
        return "top_k" if self.tail else "sampled"

    def describe(self) -> dict[str, Any]:
        """Return k and the temperature: the tail is kept either way."""
        return {"form": "top_k", "k": self.k, "temperature": self.temperature}

    def bytes_per_token(self, width: int, vocabulary: int) -> float:
        """Return the size of ids and log-probabilities, the tail and the token's own id."""
        k = min(self.k, vocabulary)
        return k * (4 + (2 if vocabulary <= SHORT_IDS else 4)) + 8

    def encode(self, answers: Head | Mixture | TopK, blocks: int, vocabulary: int, seeds: Sequence[int]) -> list[Arrays]:
        """Return ``ids`` (T, k), ``log_p`` (T, k) and ``log_tail`` (T,) of each block."""
        kept = answers if isinstance(answers, TopK) else self._likeliest(answers, vocabulary)
        ids = kept.ids.to(torch.int16 if vocabulary <= SHORT_IDS else torch.int32).cpu()
        parts = {"ids": ids, "log_p": kept.log_p.float().cpu(), "log_tail": kept.log_tail.float().cpu()}
        return _by_block(parts, blocks)

    def _likeliest(self, head: Head | Mixture, vocabulary: int) -> TopK:
        def of(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            log_p = torch.log_softmax(logits / self.temperature, -1)
            kept, ids = log_p.topk(min(self.k, vocabulary), -1)
            return ids, kept, log_p.scatter_(-1, ids, -torch.inf).logsumexp(-1)

        ids, kept, tail = _in_chunks(head, vocabulary, of)
        return TopK(ids, kept, tail)

    def decode(self, rows: Sequence[Mapping[str, Tensor]], positions: Tensor, head: Head | None, vocabulary: int) -> Targets:
        """Return the k tokens with their tail, or renormalised."""
        ids, log_p, log_tail = (torch.stack([row[part] for row in rows]).to(positions.device)[positions]
                                for part in ("ids", "log_p", "log_tail"))
        ids = ids.long() & (SHORT_IDS - 1) if ids.dtype == torch.int16 else ids.long()
        if self.tail:
            return TopK(ids, log_p, log_tail)
        log_p = torch.log_softmax(log_p, -1)
        weights = log_p.exp()
        return Sampled(ids, weights, -torch.where(weights > 0, weights * log_p, 0.0).sum(-1))


@dataclass(frozen=True)
class DrawnTokens:
    """Tokens drawn with replacement from the teacher at the temperature of the loss, with their counts (RS-KD, 2503.16870)."""

    samples: int
    temperature: float
    name: Form = "sampled"

    def describe(self) -> dict[str, Any]:
        """Return draws and temperature."""
        return {"form": self.name, "samples": self.samples, "temperature": self.temperature}

    def bytes_per_token(self, width: int, vocabulary: int) -> float:
        """Return an estimate: of 50 draws about 12 differ, as published for language models."""
        return _word_bytes(vocabulary, self.samples) * min(self.samples, 12 * (self.samples / 50) ** 0.5, vocabulary) + 9

    def encode(self, answers: Head | Mixture | TopK, blocks: int, vocabulary: int, seeds: Sequence[int]) -> list[Arrays]:
        """Return of each block ``words`` (id and count of each token drawn, little-endian), ``counts`` (T,) and ``entropy`` (T,)."""
        assert not isinstance(answers, TopK), "tokens are drawn from the whole distribution"
        length, size = len(answers) // blocks, _word_bytes(vocabulary, self.samples)
        found = []
        for block, seed in enumerate(seeds):
            generator = torch.Generator(answers.states.device).manual_seed(seed)

            def of(logits: Tensor, generator: torch.Generator = generator) -> tuple[Tensor, Tensor]:
                log_p = torch.log_softmax(logits / self.temperature, -1)
                p = log_p.exp()
                entropy = -log_p.mul_(p).nan_to_num_(0.0).sum(-1)
                return torch.multinomial(p, self.samples, replacement=True, generator=generator), entropy

            part = slice(block * length, (block + 1) * length)
            draws, entropy = _in_chunks(answers.cut(part), vocabulary, of)
            words, counts = _packed(draws.sort(-1).values.cpu(), self.samples, size)
            found.append({"words": words, "counts": counts, "entropy": entropy.float().cpu()})
        return found

    def decode(self, rows: Sequence[Mapping[str, Tensor]], positions: Tensor, head: Head | None, vocabulary: int) -> Sampled:
        """Return counts over draws as weights."""
        size = _word_bytes(vocabulary, self.samples)
        counts = torch.stack([row["counts"] for row in rows]).long()  # (B, T)
        words = torch.cat([row["words"].view(-1, size) for row in rows]).to(torch.int64)
        words = (words << torch.arange(0, 8 * size, 8)).sum(-1)
        used = torch.arange(int(counts.max()))[None, None, :] < counts.unsqueeze(-1)  # (B, T, K)
        whole = torch.zeros(used.shape, dtype=torch.int64).masked_scatter_(used, words)
        chosen = positions.cpu()
        whole = whole[chosen].to(positions.device)
        bits = self.samples.bit_length()
        weights = (whole & ((1 << bits) - 1)).float() / self.samples
        entropy = torch.stack([row["entropy"] for row in rows])[chosen].to(positions.device)
        return Sampled(whole >> bits, weights, entropy)


def stored_form(spec: SignalSpec, temperature: float) -> StoredForm:
    """Return the form that a recipe asks for; `auto` means hidden states.

    Args:
        temperature: of the loss.
    """
    if spec.form == "top_k":
        return LikeliestTokens(spec.top_k, temperature, spec.tail)
    if spec.form == "sampled":
        return DrawnTokens(spec.samples, temperature)
    return HiddenStates()


def _in_chunks(head: Head | Mixture, vocabulary: int, of: Callable[[Tensor], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """Apply a function of logits (n, V) to all positions of a head, a few at a time."""
    parts = [of(head.at(part, vocabulary)) for part in chunks(len(head), vocabulary)]
    return tuple(torch.cat(part) for part in zip(*parts, strict=True))


def _by_block(parts: Arrays, blocks: int) -> list[Arrays]:
    split = {name: whole.view(blocks, -1, *whole.shape[1:]) for name, whole in parts.items()}
    return [{name: whole[block] for name, whole in split.items()} for block in range(blocks)]


def _word_bytes(vocabulary: int, samples: int) -> int:
    """Return the bytes of a word that holds an id and a count."""
    return 3 if (vocabulary - 1).bit_length() + samples.bit_length() <= 24 else 4


def _packed(draws: Tensor, samples: int, size: int) -> tuple[Tensor, Tensor]:
    """Return words (bytes of all distinct draws, position after position) and how many each position has, from sorted draws (T, S)."""
    first = torch.ones_like(draws, dtype=torch.bool)
    first[:, 1:] = draws[:, 1:] != draws[:, :-1]
    starts = first.flatten().nonzero().squeeze(-1)
    counts = torch.diff(starts, append=torch.tensor([draws.numel()]))  # runs end with their row: its first draw is a start
    words = (draws.flatten()[starts] << samples.bit_length()) | counts
    return words.to(torch.int32).view(torch.uint8).view(-1, 4)[:, :size].reshape(-1).contiguous(), first.sum(-1).to(torch.uint8)
