"""Streaming text generation: one decode loop that several threads may run over one model at the same time.

`transformers`' own `generate` draws from the process's global random state and hands out text from a second thread;
answers side by side need a seed each, a stop within one token, and plain iteration. The arithmetic is the same:
read the prompt once, then one position a step over a key-value cache.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch

from core.data.conversation import Conversation, Detokenizer, context_length, fit_prompt
from core.errors import ConfigError
from core.models.forward import require_finite
from core.models.vocabulary import require_rows, vocabulary_size

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Finish = Literal["end", "length", "context", "stopped"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn.

    Attributes:
        max_new_tokens: tokens; longest answer.
        sampling_temperature: number; logits are divided by it, 0 takes the most likely token every time.
        top_k: tokens; only that many of the most likely ones can be drawn, 0 for no limit.
        top_p: probability; of those, the smallest leading set that holds this much of it.
        seed: integer; the same seed gives the same answer, whatever else is running.
    """

    max_new_tokens: int = 128
    sampling_temperature: float = 0.7
    top_k: int = 50
    top_p: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        for name, right, expected in (
            ("max_new_tokens", self.max_new_tokens >= 1, "a whole number of tokens, 1 or more"),
            ("sampling_temperature", self.sampling_temperature >= 0, "0 (the most likely token) or a number above it"),
            ("top_k", self.top_k >= 0, "0 (no limit) or a whole number of tokens"),
            ("top_p", 0 < self.top_p <= 1, "a probability above 0, at most 1"),
            ("seed", 0 <= self.seed < 2**63, "a whole number, 0 or more"),
        ):
            if not right:
                raise ConfigError(f"{name} was given as {getattr(self, name)}.", f"It must be {expected}.")


@dataclass(frozen=True, slots=True)
class GeneratedToken:
    """One step of an answer.

    Attributes:
        text: what this step adds to the readable answer; empty while a character's bytes are incomplete.
        token_id: its number in the vocabulary.
        index: its position in the answer, from 0.
    """

    text: str
    token_id: int
    index: int


@dataclass(frozen=True, slots=True)
class GenerationResult:
    """A whole answer and how fast it came.

    Attributes:
        text: the answer without special tokens.
        tokens: tokens generated, the end token not counted.
        prompt_tokens: tokens read before the first one.
        left_out: oldest messages that the context had no room for.
        seconds_to_first_token: seconds from the question to the first token.
        tokens_per_second: tokens after the first per second since the first; 0 with fewer than two.
        finish: why it ended: ``end`` token, requested ``length`` reached, ``context`` full, or ``stopped``.
    """

    text: str
    tokens: int
    prompt_tokens: int
    left_out: int
    seconds_to_first_token: float
    tokens_per_second: float
    finish: Finish


def stream(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, conversation: Conversation, *,
           stop: Callable[[], bool] = lambda: False, **sampling: Any) -> TokenStream:
    """Answer a conversation token by token; the answer as a whole is `TokenStream.result` afterwards.

    Args:
        model: in evaluation mode, on its device.
        tokenizer: the model's.
        conversation: messages with ``role`` and ``content``, or one user message as a string.
        stop: called before every token; True ends the answer.
        sampling: the fields of `Sampling`.

    Raises:
        ConfigError: a sampling value out of range, or a question that fills the context.
        CorruptModelError: the model's logits are not numbers (while iterating).
    """
    return TokenStream(model, tokenizer, conversation, Sampling(**sampling), stop)


def generate(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, conversation: Conversation, *,
             stop: Callable[[], bool] = lambda: False, **sampling: Any) -> GenerationResult:
    """Return the whole answer at once; arguments and errors as in `stream`."""
    tokens = stream(model, tokenizer, conversation, stop=stop, **sampling)
    for _ in tokens:
        pass
    return tokens.result()


class TokenStream:
    """Iterates once over the tokens of an answer. Made by `stream`."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, conversation: Conversation,
                 sampling: Sampling, stop: Callable[[], bool]) -> None:
        self._started = time.perf_counter()
        self._first = self._last = self._started
        self._model, self._tokenizer, self._sampling, self._stop = model, tokenizer, sampling, stop
        context = context_length(model)
        self._prompt = fit_prompt(tokenizer, conversation, context, min(sampling.max_new_tokens, context // 2))
        require_rows(self._prompt.token_ids, tokenizer, model)
        self._room = min(sampling.max_new_tokens, context - len(self._prompt.token_ids))
        self._text: list[str] = []
        self._tokens = 0
        self._finish: Finish = "stopped"

    def __iter__(self) -> Iterator[GeneratedToken]:
        detokenizer = Detokenizer(self._tokenizer)
        # Without a chat template the conversation is plain lines, and a model without one continues as the user by itself.
        one_line = not self._tokenizer.chat_template
        for index, token_id in enumerate(self._token_ids()):
            self._last = time.perf_counter()
            self._first = self._first if index else self._last
            self._tokens = index + 1
            piece = detokenizer.push(token_id)
            turn_over = one_line and "\n" in piece
            if turn_over:
                piece = piece.partition("\n")[0]
            self._text.append(piece)
            yield GeneratedToken(piece, token_id, index)
            if turn_over:
                self._finish = "end"
                return
        self._text.append(detokenizer.flush())

    def _token_ids(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._sampling.seed)
        end_tokens = end_token_ids(self._model, self._tokenizer)
        vocabulary = vocabulary_size(self._tokenizer)  # rows beyond it only pad the embedding
        pending, cache = self._prompt.token_ids, None
        for _ in range(self._room):
            if self._stop():
                return
            logits, cache = _forward(self._model, pending, cache)
            token_id = draw(logits[:vocabulary], self._sampling, generator)
            if token_id in end_tokens:
                self._finish = "end"
                return
            yield token_id
            pending = [token_id]
        self._finish = "length" if self._room == self._sampling.max_new_tokens else "context"

    def result(self) -> GenerationResult:
        """Return the answer so far; ``finish`` is ``stopped`` unless it came to its own end."""
        since_first = self._last - self._first
        return GenerationResult(
            text="".join(self._text), tokens=self._tokens, prompt_tokens=len(self._prompt.token_ids), left_out=self._prompt.left_out,
            seconds_to_first_token=self._first - self._started,
            tokens_per_second=(self._tokens - 1) / since_first if since_first else 0.0, finish=self._finish)


@torch.inference_mode()
def _forward(model: PreTrainedModel, token_ids: list[int], cache: Any) -> tuple[torch.Tensor, Any]:
    """Return the logits (V,) after the last of `token_ids` (T), and the key-value cache that now holds them."""
    output = model(torch.tensor([token_ids], device=model.device), past_key_values=cache, use_cache=True, logits_to_keep=1)
    return output.logits[0, -1], output.past_key_values


def end_token_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Return every token that ends an answer: the tokenizer's, and those that the model's generation settings add."""
    configured = model.generation_config.eos_token_id
    listed = configured if isinstance(configured, list) else [configured]
    return {token_id for token_id in (*listed, tokenizer.eos_token_id) if token_id is not None}


def draw(logits: torch.Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """Return the next token id from `logits` (V,), narrowed in the order temperature, top k, top p.

    One uniform number a token, looked up in the cumulative distribution of the tokens in falling order: two models with
    the same distribution and the same seed draw the same token, on any device.

    Raises:
        CorruptModelError: the logits are not numbers.
    """
    if sampling.sampling_temperature == 0:
        best, index = logits.max(dim=-1)
        require_finite(best)
        return int(index)
    if sampling.top_k:
        logits, token_ids = logits.topk(min(sampling.top_k, logits.shape[-1]))  # both (K,), falling
    else:
        logits, token_ids = logits.sort(descending=True)
    require_finite(logits[0])  # not-a-number counts as the largest in topk and sort
    cumulative = (logits.float() / sampling.sampling_temperature).softmax(-1).cumsum(-1).cpu()  # (K,)
    last = len(cumulative) - 1
    if sampling.top_p < 1:  # the leading set ends with the token that lifts its sum to top_p
        last = min(int(torch.searchsorted(cumulative, sampling.top_p)), last)
    uniform = torch.rand((), generator=generator, dtype=torch.float32) * cumulative[last]
    return int(token_ids[min(int(torch.searchsorted(cumulative, uniform, right=True)), last)])
