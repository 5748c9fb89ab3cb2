"""Zero-shot sentiment by label log-probability of the words *Positive* and *Negative*.

    score(label) = sum_j log q(label_j | prompt, label_<j),    the answer is the label with the higher score

on held-out reviews, prompted in the model's chat template (`core.data.chat_template`; a model without one reads a plain dialogue).
Only the positions that predict a label go through the output head. The standard error is that of a proportion,
sqrt(a (1 - a) / n).

Shapes: B prompts of a batch, T positions, K positions that predict a label.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from core.data import movie_reviews
from core.data.conversation import encode, encode_answer
from core.data.movie_reviews import Review
from core.errors import CompatibilityError, SetField
from core.models.forward import OutputHead, eval_mode, last_hidden, max_positions, output_head
from core.models.vocabulary import require_rows, unpadded_width
from core.recorder import Advance, unwatched
from core.training.passes import ALONE, Passes

# Tokens of one forward pass, padding included: prompts of like length share a pass, short ones in larger numbers.
BATCH_TOKENS = 4096

SHORTEST_REVIEW = 4  # words; a context that holds fewer is too short for the question


def evaluate_sentiment(model: Any, tokenizer: Any, reviews: Sequence[Review], device: torch.device | str, *,
                       words: int = 200, dtype: torch.dtype = torch.float32, advance: Advance = unwatched,
                       passes: Passes = ALONE) -> dict[str, float]:
    """Return the share of `reviews` whose own label scores higher.

    Returns:
        ``sentiment_accuracy`` with its standard error ``stderr`` over ``sentiment_items`` reviews, and ``accuracy_imdb``/``items_imdb``,
        ``accuracy_rt``/``items_rt`` by origin (an origin that no review has is left out).

    Args:
        model: a causal language model on `device`.
        words: longer reviews lose their middle (`core.data.movie_reviews.truncate_middle`), and more of it where the model's context is
            shorter still.
        dtype: the format of the matrix products, as for language: models with weights in several formats are compared in one.
        advance: called before every forward pass with the reviews that are done; a stop that it raises leaves nothing behind.
        passes: what of it this process computes, where several evaluate; all return the metrics of all reviews.

    Raises:
        CompatibilityError: the model's context is too short for the question.
    """
    if not reviews:
        raise ValueError("sentiment needs at least one review")
    labels = label_tokens(tokenizer)
    room = max_positions(model) - max(map(len, labels))
    prompts = []
    for review in reviews:
        advance(0, len(reviews))
        prompts.append(encode_prompt(review.text, tokenizer, room, words))
    require_rows(chain(*prompts, *labels), tokenizer, model)
    scores = label_scores(model, prompts, labels, torch.device(device), unpadded_width(tokenizer, model), dtype, advance,
                          passes)  # (reviews, 2)
    correct = [bool(positive > negative) == review.positive for (positive, negative), review in zip(scores.tolist(), reviews, strict=True)]
    accuracy = sum(correct) / len(correct)
    result = {"sentiment_accuracy": accuracy, "sentiment_items": len(correct),
              "stderr": math.sqrt(accuracy * (1 - accuracy) / len(correct))}
    for source in sorted({review.source for review in reviews}):
        of_source = [right for right, review in zip(correct, reviews, strict=True) if review.source == source]
        result |= {f"accuracy_{source}": sum(of_source) / len(of_source), f"items_{source}": len(of_source)}
    return result


def label_tokens(tokenizer: Any) -> list[list[int]]:
    """Return the label words as token ids, as they stand in the tokens of a whole answered question."""
    return [encode_answer(tokenizer, movie_reviews.conversation("?"), label) for label in movie_reviews.LABELS]


def encode_prompt(text: str, tokenizer: Any, room: int, words: int) -> list[int]:
    """Return token ids of the question about at most `words` words of `text`, fewer where it would take more than `room` tokens."""
    words = min(len(text.split()), words)
    while True:
        ids = encode(tokenizer, movie_reviews.sentiment_prompt(text, words))
        if len(ids) <= room:
            return ids
        if words <= SHORTEST_REVIEW:
            raise CompatibilityError(f"The question about a review takes {len(ids)} tokens.", f"The model has room for {room}.",
                                     "Set evaluation.sentiment_items to 0 for this model.",
                                     suggestion=SetField("evaluation.sentiment_items", 0))
        words = max(SHORTEST_REVIEW, min(words - 1, words * room // len(ids)))


def label_scores(model: Any, prompts: Sequence[Sequence[int]], labels: Sequence[Sequence[int]], device: torch.device,
                 width: int | None = None, dtype: torch.dtype = torch.float32, advance: Advance = unwatched,
                 passes: Passes = ALONE) -> Tensor:
    """Return summed log-probabilities of labels after prompts: (prompts, labels), on the CPU; logits beyond `width` are padding."""
    scores = torch.zeros(len(prompts), len(labels), dtype=torch.float32)
    head = output_head(model)
    # What is fed is the prompt and all but the last token of a label: one pass serves all labels of a single token.
    prefixes = sorted({tuple(label[:-1]) for label in labels})
    with eval_mode(model), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        for batch, idle in passes.batches(_by_length(prompts), advance):
            for prefix in prefixes:
                input_ids, lengths = _right_padded([[*prompts[index], *prefix] for index in batch], device)
                hidden = last_hidden(model, input_ids)  # (B, T, D)
                at_BK = lengths[:, None] + torch.arange(-1 - len(prefix), 0, device=device)  # positions that predict the label's tokens
                states = hidden.gather(1, at_BK[..., None].expand(-1, -1, hidden.shape[-1]))  # (B, K, D)
                normaliser_BK = head.logits(states, width).logsumexp(-1)
                for column, label in enumerate(labels):
                    if tuple(label[:-1]) == prefix and not idle:
                        scores[batch, column] = (_label_logits(head, states, label) - normaliser_BK).sum(1).cpu()
    passes.add_up(scores.numpy())
    return scores


def _label_logits(head: OutputHead, states: Tensor, label: Sequence[int]) -> Tensor:
    """Return (B, K), from (B, K, D): the logit of each of the label's tokens where it is predicted, in float32 whatever the model's format.

    The two labels' logits are close: rounded to bf16 they would often be equal.
    """
    bias = None if head.bias is None else head.bias[label].float()
    with torch.autocast(states.device.type, enabled=False):
        return head.transform(F.linear(states.float(), head.weight[label].float(), bias).diagonal(dim1=1, dim2=2))


def _by_length(prompts: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Return the indices of prompts in batches of at most BATCH_TOKENS padded tokens, longest first."""
    batch: list[int] = []
    for index in sorted(range(len(prompts)), key=lambda i: -len(prompts[i])):
        if batch and (len(batch) + 1) * len(prompts[batch[0]]) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _right_padded(sequences: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return (input_ids (B, T), lengths (B,)); what pads is never looked at, being to the right of every position that counts."""
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    input_ids = torch.zeros(len(sequences), int(lengths.max()), dtype=torch.long)
    for row, sequence in enumerate(sequences):
        input_ids[row, :len(sequence)] = torch.tensor(sequence)
    return input_ids.to(device), lengths.to(device)
