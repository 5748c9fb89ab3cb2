"""How many logits stand for tokens, since families pad their embeddings beyond the tokenizer; and what one sequence of tokens reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.models.architectures import head_weight


def vocabulary_size(tokenizer: Any) -> int:
    """Return how many rows of logits stand for tokens: the highest token id plus one.

    Ids may have gaps; len() would miss the end.
    """
    return max(tokenizer.get_vocab().values()) + 1


def unpadded_width(tokenizer: Any, *models: Any) -> int:
    """Return the number of logits that count where `models` are trained or compared: families pad their embeddings beyond the tokenizer."""
    return min(vocabulary_size(tokenizer), *(len(head_weight(model)) for model in models))


def decode_text(tokenizer: Any, token_ids: Sequence[int], **options: bool) -> str:
    """Return the text of one sequence of tokens: `decode` itself is typed as if it might be a batch.

    Args:
        options: of the tokenizer's `decode`.
    """
    text = tokenizer.decode(token_ids, **options)
    assert isinstance(text, str)
    return text
