"""Accuracy by the mean log-probability of the candidates.

    score(c) = 1/|c| sum_j log q(c_j | prompt, c_<j),    the answer is the candidate with the highest score

so that long candidates are not at a disadvantage. The tokens of a candidate are those of prompt and candidate, read as one text, that
reach into the candidate.

Shapes: R rows (a candidate behind its prompt), T positions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.data.packing import padding_id
from core.data.prepare import text_edges
from core.data.tokenisation import Document, Span, tokenise
from core.errors import CompatibilityError
from core.models.chunking import chunks
from core.models.forward import eval_mode, last_hidden, log_softmax, max_positions, output_head
from core.models.vocabulary import unpadded_width
from core.reading.items import Item, ReadingTask

BATCH_TOKENS = 4096  # of one forward pass, padding included

Encoded = tuple[np.ndarray, np.ndarray]  # token ids (T,), and which of them belong to the candidate (T,)


def score_tasks(model: Any, tokenizer: Any, tasks: Sequence[ReadingTask], device: torch.device | str = "cpu", *,
                dtype: torch.dtype = torch.float32) -> dict[str, float]:
    """Return the accuracy of each task, ``reading_<task>``, and their mean over tasks, ``reading_accuracy``.

    ``answer_nll_<task>`` is the mean negative log-probability of the right candidates, in nats per token: how far the model is from a
    teacher that gives them.

    Raises:
        CompatibilityError: an item is longer than the model's context.
    """
    accuracy, loss = {}, {}
    for task in tasks:
        scores = item_scores(model, tokenizer, task.items, device, dtype=dtype)
        pairs = list(zip(task.items, scores, strict=True))
        accuracy[task.name] = sum(is_right(item, own) for item, own in pairs) / len(pairs)
        loss[task.name] = -math.fsum(own[item.right] for item, own in pairs) / len(pairs)
    if not accuracy:
        return {}
    return ({"reading_accuracy": math.fsum(accuracy.values()) / len(accuracy)}
            | {f"reading_{name}": value for name, value in accuracy.items()}
            | {f"answer_nll_{name}": value for name, value in loss.items()})


def item_scores(model: Any, tokenizer: Any, items: Sequence[Item], device: torch.device | str = "cpu", *,
                dtype: torch.dtype = torch.float32) -> list[list[float]]:
    """Return the score of each candidate of each item."""
    scores = iter(candidate_scores(model, tokenizer, [(item.prompt, each) for item in items for each in item.candidates], device, dtype))
    return [[next(scores) for _ in item.candidates] for item in items]


def longest_item(tokenizer: Any, task: ReadingTask) -> tuple[Item, int]:
    """Return the item that takes the most tokens, prompt and candidate together, and how many."""
    pairs = [(item, (item.prompt, candidate)) for item in task.items for candidate in item.candidates]
    lengths = [len(ids) for ids, _ in encode_pairs(tokenizer, [pair for _, pair in pairs])]
    longest = max(range(len(pairs)), key=lengths.__getitem__)
    return pairs[longest][0], lengths[longest]


def is_right(item: Item, scores: Sequence[float]) -> bool:
    """Return whether the right candidate has the highest score; the first of equal ones counts."""
    return max(range(len(scores)), key=scores.__getitem__) == item.right


def candidate_scores(model: Any, tokenizer: Any, pairs: Sequence[tuple[str, str]], device: torch.device | str = "cpu",
                     dtype: torch.dtype = torch.float32) -> list[float]:
    """Return the mean log-probability of each candidate behind its prompt, in nats per token."""
    encoded = encode_pairs(tokenizer, pairs)
    longest, room = max(len(ids) for ids, _ in encoded), max_positions(model)
    if longest > room:
        raise CompatibilityError(f"An item that is scored takes {longest} tokens.", f"The model reads {room}.",
                                 "Choose tasks with shorter texts (reading.tasks), or a model with a longer context.",
                                 field="reading.tasks")
    scores, width = [0.0] * len(pairs), unpadded_width(tokenizer, model)
    device, head = torch.device(device), output_head(model)
    with eval_mode(model), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        for batch in _by_length(encoded):
            ids, counts = _padded([encoded[number] for number in batch], padding_id(tokenizer), device)
            states, targets = last_hidden(model, ids)[:, :-1][counts[:, 1:]], ids[:, 1:][counts[:, 1:]]  # those that predict a candidate
            values = torch.cat([log_softmax(head, states[part], width).float().gather(1, targets[part, None])[:, 0]
                                for part in chunks(len(targets), width)])
            for number, value in zip(batch, values.split(counts[:, 1:].sum(1).tolist()), strict=True):
                scores[number] = float(value.mean())
    return scores


def encode_pairs(tokenizer: Any, pairs: Sequence[tuple[str, str]]) -> list[Encoded]:
    """Return token ids of prompt and candidate as one text, and which of them belong to the candidate."""
    begin, _ = text_edges(tokenizer)
    documents = [Document(prompt + candidate, 0.0, (Span(len(prompt), len(prompt) + len(candidate), 1.0),), begin)
                 for prompt, candidate in pairs]
    return [(ids, weights > 0) for ids, weights in tokenise(documents, tokenizer)]


def _by_length(encoded: Sequence[Encoded]) -> Iterator[list[int]]:
    """Yield the numbers of rows in batches of at most BATCH_TOKENS padded tokens, longest first."""
    batch: list[int] = []
    for number in sorted(range(len(encoded)), key=lambda each: -len(encoded[each][0])):
        if batch and (len(batch) + 1) * len(encoded[batch[0]][0]) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


def _padded(rows: Sequence[Encoded], padding: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return token ids (R, T) and which of them belong to candidates (R, T); padding lies behind everything that is looked at."""
    longest = max(len(ids) for ids, _ in rows)
    ids_RT = torch.full((len(rows), longest), padding, dtype=torch.long)
    counts_RT = torch.zeros(len(rows), longest, dtype=torch.bool)
    for row, (ids, counts) in enumerate(rows):
        ids_RT[row, :len(ids)], counts_RT[row, :len(ids)] = torch.from_numpy(ids).long(), torch.from_numpy(counts)
    return ids_RT.to(device), counts_RT.to(device)
