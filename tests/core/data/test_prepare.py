"""Blocks in the cache are found again for equal input, and for no other."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from core.config import DataSpec
from core.data import prepare as module
from core.data.prepare import _key
from core.errors import DataError
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


def chats(folder: Path, *odd: list[dict[str, str]]) -> DataSpec:
    """A file of thirty exchanges, and other conversations behind them."""
    rows = [[{"role": "user", "content": f"Is it {number}?"}, {"role": "assistant", "content": f"It is {number}."}] for number in range(30)]
    path = folder / "chats.jsonl"
    path.write_text("".join(json.dumps({"messages": row}) + "\n" for row in [*rows, *odd]))
    return DataSpec(source=str(path), block_length=32, prompt_weight=0.0, validation_fraction=0.2)


FIRST = [{"role": "assistant", "content": "Welcome."}, {"role": "user", "content": "Is it?"}, {"role": "assistant", "content": "It is."}]


@pytest.mark.parametrize("template", [True, False])
@pytest.mark.parametrize("conversation", [
    FIRST, [{"role": "system", "content": "Be brief."}, FIRST[0]], [FIRST[1], FIRST[0], FIRST[2]], [FIRST[1]], [FIRST[0]]])
def test_conversations_of_any_order_are_learnt_from(tmp_path, template, conversation) -> None:
    tokenizer = copy.deepcopy(chat_tokenizer())
    tokenizer.chat_template = tokenizer.chat_template if template else None
    spec = chats(tmp_path, conversation)
    document = module.document({"messages": conversation}, tokenizer, spec, "causal")
    answers = [message["content"] for message in conversation if message["role"] == "assistant"]
    counted = [document.text[span.start:span.end].removesuffix("<|end|>").strip() for span in document.spans if span.weight > 0]
    assert counted == answers
    assert all(message["content"] in document.text for message in conversation)
    assert module.prepare(spec, tokenizer, 1).train.documents > 10


def test_a_conversation_that_the_template_refuses_is_named(tmp_path) -> None:
    tokenizer = copy.deepcopy(chat_tokenizer())
    tokenizer.chat_template = ("{% if messages[0]['role'] == 'assistant' %}{{ raise_exception('the user begins') }}{% endif %}"
                               + tokenizer.chat_template)
    with pytest.raises(DataError, match=r"chats.jsonl', line 31: .*refuses a conversation of assistant, user, assistant: the user begins"):
        module.prepare(chats(tmp_path, FIRST), tokenizer, 1)


def test_answers_that_cannot_be_found_refuse_the_run_and_name_the_row(tmp_path) -> None:
    tokenizer = copy.deepcopy(chat_tokenizer())
    tokenizer.chat_template = "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] | replace('e', 'E') }}{% endfor %}"
    odd = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "yes"}]
    with pytest.raises(DataError, match=r"chats.jsonl', line 31: .*cannot be found") as caught:
        module.prepare(chats(tmp_path, odd), tokenizer, 1)
    assert caught.value.field == "data.prompt_weight"


def test_the_key_tells_whether_texts_begin_with_a_token(monkeypatch):
    edges = module.text_edges
    with_begin = key(monkeypatch)
    monkeypatch.setattr(module, "text_edges", lambda tokenizer: (None, edges(tokenizer)[1]))
    assert key(monkeypatch) != with_begin
