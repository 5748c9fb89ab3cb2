"""Blocks in the cache are found again for equal input, and for no other."""

from __future__ import annotations

import copy
from typing import Any

from core.config import DataSpec
from core.data import prepare as module
from core.data.prepare import _key
from tests.core.chat_models import chat_tokenizer

SPEC = DataSpec(source="owner/name", block_length=16)


def key(monkeypatch: Any, revision: str = "one", **tokens: str) -> str:
    tokenizer = copy.deepcopy(chat_tokenizer())
    for name, token in tokens.items():
        setattr(tokenizer, name, token)
    monkeypatch.setattr(module, "hub_revision", lambda spec: revision)
    return _key(SPEC, tokenizer, 1, "causal")


def test_the_key_tells_special_tokens_and_revisions_apart(monkeypatch):
    keys = [key(monkeypatch), key(monkeypatch, revision="two"), key(monkeypatch, eos_token="<|user|>"),
            key(monkeypatch, pad_token="<|begin|>"), key(monkeypatch, bos_token="<|system|>")]
    assert len(set(keys)) == len(keys)
    assert key(monkeypatch) == keys[0]


def test_the_key_tells_whether_texts_begin_with_a_token(monkeypatch):
    edges = module._edges
    with_begin = key(monkeypatch)
    monkeypatch.setattr(module, "_edges", lambda tokenizer: (None, edges(tokenizer)[1]))
    assert key(monkeypatch) != with_begin
