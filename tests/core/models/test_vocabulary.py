"""Counted logits end at the tokenizer's last token, or at the narrowest model's last row."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from core.data.packing import Blocks
from core.errors import CompatibilityError
from core.evaluation.blanks import fill_blanks
from core.evaluation.classes import class_probabilities
from core.evaluation.language import evaluate_language
from core.evaluation.masked import evaluate_masked
from core.evaluation.token_divergence import compare_positions, next_token_logits
from core.generation.batched import Candidates, generate_batch
from core.generation.streaming import generate
from core.models.vocabulary import embedding_rows, require_rows, require_tokenizer_fits, unpadded_width, vocabulary_size
from tests.core.chat_models import chat_model, chat_tokenizer
from tests.core.masked_models import classifier, masked_model, masked_tokenizer


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


def _with_tokens(tokenizer: Any, *tokens: str) -> Any:
    longer = copy.deepcopy(tokenizer)
    longer.add_tokens(list(tokens), special_tokens=True)
    return longer


def test_ids_without_an_embedding_are_named() -> None:
    tokenizer = _with_tokens(chat_tokenizer(), "<|tool|>")
    model = chat_model()
    rows = embedding_rows(model)
    require_rows([0, rows - 1], tokenizer, model)
    for outside, name in ((rows, "'<|tool|>'"), (-1, "token -1")):
        with pytest.raises(CompatibilityError, match=name) as caught:
            require_rows([0, outside], tokenizer, model)
        assert f"0 to {rows - 1}" in caught.value.expected


def test_a_tokenizer_that_knows_more_than_its_model_is_refused_where_a_model_is_trained() -> None:
    require_tokenizer_fits(chat_tokenizer(), chat_model(), "m")
    with pytest.raises(CompatibilityError, match="The model 'm' has embeddings for"):
        require_tokenizer_fits(_with_tokens(chat_tokenizer(), "<|tool|>"), chat_model(), "m")


def test_every_way_into_a_model_names_the_token() -> None:
    model, tokenizer = chat_model(positions=512), _with_tokens(chat_tokenizer(), "<|tool|>")
    encoder, masker = masked_model(), _with_tokens(masked_tokenizer(), "<drug>")
    blocks = Blocks(np.full((1, 8), embedding_rows(model), np.int32), np.ones((1, 8), np.float32), 1, 8)
    masked = Blocks(np.full((1, 8), embedding_rows(encoder), np.int32), np.ones((1, 8), np.float32), 1, 8)
    candidates = Candidates(temperature=0, top_k=5, top_p=1.0)
    ways = {
        "generate": lambda: generate(model, tokenizer, "a <|tool|> b", max_new_tokens=2),
        "generate in batches": lambda: generate_batch(model, tokenizer, [[0, embedding_rows(model)]], max_new_tokens=2,
                                                      candidates=candidates, generator=torch.Generator()),
        "evaluate": lambda: evaluate_language(model, blocks, tokenizer=tokenizer, batch_size=1, device="cpu"),
        "evaluate an encoder": lambda: evaluate_masked(encoder, masked, tokenizer=masker, batch_size=1, device="cpu"),
        "fill a blank": lambda: fill_blanks(encoder, masker, "a <drug> [MASK]"),
        "compare": lambda: compare_positions(model, model, tokenizer, "a <|tool|> b", "c"),
        "next token": lambda: next_token_logits(model, tokenizer, "a <|tool|> b"),
        "classify": lambda: class_probabilities(classifier(), masker, "a <drug> b"),
    }
    for enter in ways.values():
        with pytest.raises(CompatibilityError, match=r"The text holds '<(\|tool\||drug)>'"):
            enter()
