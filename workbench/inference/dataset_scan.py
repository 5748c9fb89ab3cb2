"""A corpus read from its first row to its last, before a run waits in the queue for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.config import DataSpec
from core.data import prepare
from core.data.rows import Row
from core.data.tokenisation import Document
from core.models.architectures import Objective

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SAMPLE = 200  # rows whose tokens stand for those of all


def scan_dataset(spec: DataSpec, tokenizer: PreTrainedTokenizerBase | None, seed: int, objective: Objective = "causal") -> dict[str, Any]:
    """Read every row of both sides of the split, and estimate how many blocks they fill.

    Returns:
        rows, held_out: how many rows there are to train on and to measure with;
        blocks: about how many training blocks, from the tokens of the first rows; None without a tokenizer.

    Raises:
        DataError, NetworkError: as `core.data.sources.rows`, for any row.
    """
    sampled: list[Document] = []
    characters, total = 0, 0
    count = 0
    for where, row in prepare.located_rows(spec, "train", seed, objective):
        count += 1
        total += _length(row)
        if len(sampled) < SAMPLE and tokenizer is not None:
            sampled.append(prepare.located_document((where, row), tokenizer, spec, objective))
            characters += _length(row)
    held_out = sum(1 for _ in prepare.rows(spec, "validation", seed, objective))
    blocks = None
    if sampled and characters:
        tokens = prepare.packed(sampled, tokenizer, spec, objective).tokens
        blocks = max(1, round(tokens * total / characters / spec.block_length))
    return {"rows": count, "held_out": held_out, "blocks": blocks}


def _length(row: Row) -> int:
    texts = [message["content"] for message in row["messages"]] if "messages" in row else [
        row[key] for key in ("text", "prompt", "completion") if key in row]
    return sum(map(len, texts))
