"""Counted logits end at the tokenizer's last token, or at the narrowest model's last row."""

from __future__ import annotations

import copy

from core.models.vocabulary import unpadded_width, vocabulary_size
from tests.core.chat_models import chat_model, chat_tokenizer


class Gapped:
    def get_vocab(self) -> dict[str, int]:
        return {"a": 0, "b": 1, "last": 9}


def test_gaps_between_token_ids_are_counted() -> None:
    assert vocabulary_size(Gapped()) == 10


def test_added_tokens_are_counted() -> None:
    longer = copy.deepcopy(chat_tokenizer())
    longer.add_tokens(["<|tool|>", "<|image|>"])
    assert vocabulary_size(longer) == vocabulary_size(chat_tokenizer()) + 2


def test_padding_rows_are_left_out_and_missing_rows_too() -> None:
    tokens = vocabulary_size(chat_tokenizer())
    padded, cut = chat_model(width=tokens + 20), chat_model(width=tokens - 3)
    assert unpadded_width(chat_tokenizer(), padded) == tokens
    assert unpadded_width(chat_tokenizer(), padded, cut) == tokens - 3
