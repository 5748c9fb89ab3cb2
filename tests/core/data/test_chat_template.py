"""Conversations as text."""

from __future__ import annotations

import pytest

from core.data.chat_template import render
from core.errors import DataError
from tests.core.chat_models import chat_tokenizer

MESSAGES = [{"role": "user", "content": "Good?"}, {"role": "assistant", "content": "Yes."}]


def test_the_model_s_own_template_is_used():
    assert render(MESSAGES, chat_tokenizer()) == "<|begin|><|user|>Good?<|assistant|>Yes.<|end|>"
    assert render(MESSAGES[:1], chat_tokenizer(), add_generation_prompt=True) == "<|begin|><|user|>Good?<|assistant|>"


def test_base_models_get_a_plain_one(monkeypatch):
    tokenizer = chat_tokenizer()
    monkeypatch.setattr(tokenizer, "chat_template", None)
    prompt, answered = render(MESSAGES[:1], tokenizer, add_generation_prompt=True), render(MESSAGES, tokenizer)
    assert prompt == "User: Good?\nAssistant:" and answered.startswith(prompt) and answered.endswith("<|end|>")


def test_a_template_that_refuses_is_a_data_error(monkeypatch):
    tokenizer = chat_tokenizer()
    monkeypatch.setattr(tokenizer, "chat_template", "{{ raise_exception('no system here') }}")
    with pytest.raises(DataError, match="no system here"):
        render(MESSAGES, tokenizer)
