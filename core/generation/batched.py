"""Many answers at once: for texts that a teacher writes by the thousand.

`core.generation.streaming` answers one conversation token by token for a reader; here throughput counts. Prompts of a batch are
padded on the left and share one key-value cache; rows that have ended are computed on until the batch has, so prompts of like length
should share a batch. What all of them begin with, as the examples of a few-shot prompt, is read once. Of the vocabulary only the top
k are ever sorted: a full sort of 49,152 numbers for each of 64 rows costs more, on a processor, than a small model that made them.

Shapes: B prompts, T positions, V vocabulary, K candidates.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from core.generation.streaming import end_token_ids
from core.models.architectures import plain_model
from core.models.forward import require_finite
from core.models.vocabulary import require_rows, vocabulary_size

if TYPE_CHECKING:
    from transformers import Cache, PreTrainedModel, PreTrainedTokenizerBase

SHARED = 16  # tokens; a shorter beginning that prompts share is not worth a pass of its own


@dataclass(frozen=True, slots=True)
class Candidates:
    """How the next tokens are drawn: of the `top_k` most likely ones those that lead up to the probability `top_p`."""

    temperature: float
    top_k: int
    top_p: float


@torch.inference_mode()
def generate_batch(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Sequence[int]], *, max_new_tokens: int,
                   candidates: Candidates, generator: torch.Generator, stop: Callable[[], bool] = lambda: False,
                   end_ids: Collection[int] = ()) -> list[list[int]] | None:
    """Answer prompts, given as token ids.

    Args:
        prompts: B lists of token ids, none empty.
        generator: where all random numbers of the batch come from.
        stop: called before every position.
        end_ids: tokens that end an answer besides the model's own end tokens, as those of a line end.

    Returns:
        B lists of token ids without end tokens; None when it was stopped.

    Raises:
        CorruptModelError: the model's logits are not numbers.
    """
    require_rows(chain.from_iterable(prompts), tokenizer, model)
    ends = torch.tensor(sorted({*end_token_ids(model, tokenizer), *end_ids}), device=model.device)
    longest = max(map(len, prompts))
    cache = _shared_cache(model, prompts)
    shared = 0 if cache is None else cache.get_seq_length()
    input_ids = torch.full((len(prompts), longest), int(ends[0]) if len(ends) else 0, dtype=torch.long)
    mask = torch.zeros(len(prompts), longest + max_new_tokens, dtype=torch.long)
    mask[:, :shared] = 1  # the padding lies between the shared beginning and the rest
    for row, ids in enumerate(prompts):
        input_ids[row, longest - len(ids) + shared:] = torch.tensor(ids[shared:])
        mask[row, longest - len(ids) + shared:] = 1
    input_ids, mask = input_ids.to(model.device), mask.to(model.device)
    positions = (mask.cumsum(1) - 1).clamp_min(0)
    vocabulary = vocabulary_size(tokenizer)  # rows beyond it only pad the embedding
    written = torch.zeros(len(prompts), 0, dtype=torch.long, device=model.device)
    ended = torch.zeros(len(prompts), dtype=torch.bool, device=model.device)
    pending = input_ids[:, shared:]
    for step in range(max_new_tokens):
        if stop():
            return None
        seen = longest + step
        output = model(pending, attention_mask=mask[:, :seen], position_ids=positions[:, seen - pending.shape[1]:seen],
                       past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache = output.past_key_values
        logits_BV = output.logits[:, -1, :vocabulary]
        require_finite(logits_BV.amax(-1))  # not-a-number counts as the largest
        token_B = draw_batch(logits_BV, candidates, generator)
        ended |= torch.isin(token_B, ends)
        written = torch.cat([written, token_B[:, None]], 1)
        if ended.all():
            break
        pending = token_B[:, None]
    return [_until_end(row, set(ends.tolist())) for row in written.tolist()]


def _shared_cache(model: PreTrainedModel, prompts: Sequence[Sequence[int]]) -> Cache | None:
    """Return what the model's layers keep of the tokens that all prompts begin with, for as many rows; None where nothing is to be gained.

    Padding lies behind the beginning. Layers with a window would count it, and so do models that take no position ids, as MPT, whose
    ALiBi measures distances between places of the batch: both read every prompt whole.
    """
    from transformers.cache_utils import DynamicCache, DynamicLayer

    if "position_ids" not in inspect.signature(plain_model(model).forward).parameters:
        return None

    shared = next((place for place, tokens in enumerate(zip(*prompts, strict=False)) if len(set(tokens)) > 1), min(map(len, prompts)))
    shared = min(shared, min(map(len, prompts)) - 1)  # a token is left of each, behind which the next is predicted
    if len(prompts) < 2 or shared < SHARED:
        return None
    cache = DynamicCache(config=model.config)
    if not cache.layers or any(type(layer) is not DynamicLayer for layer in cache.layers):
        return None
    ids = torch.tensor([list(prompts[0][:shared])], device=model.device)
    model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
    cache.batch_repeat_interleave(len(prompts))
    return cache


def draw_batch(logits: Tensor, candidates: Candidates, generator: torch.Generator) -> Tensor:
    """Return one token id a row, (B, V) -> (B,): narrowed by temperature, then top k, then top p within those."""
    if candidates.temperature == 0:
        return logits.argmax(-1)
    top_BK, ids_BK = logits.topk(min(candidates.top_k, logits.shape[-1]))  # falling
    probability_BK = (top_BK.float() / candidates.temperature).softmax(-1)
    before_BK = probability_BK.cumsum(-1) - probability_BK
    probability_BK = probability_BK.masked_fill(before_BK >= candidates.top_p, 0)  # the most likely one always stays
    chosen_B1 = torch.multinomial(probability_BK.cpu(), 1, generator=generator).to(ids_BK.device)
    return ids_BK.gather(1, chosen_B1).squeeze(1)


def _until_end(tokens: list[int], ends: set[int]) -> list[int]:
    return tokens[:next((place for place, token in enumerate(tokens) if token in ends), len(tokens))]
