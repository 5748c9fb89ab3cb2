"""What is packed are the tokens of the whole text, and what counts are exactly the assistant's."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import ByT5Tokenizer

from core.config import DataSpec
from core.data.chat_template import find_turns
from core.data.conversation import encode, encode_answer
from core.data.packing import pack
from core.data.prepare import document
from core.data.tokenisation import Document, Span, tokenise, tokens_between
from core.errors import DataError
from core.evaluation.sentiment import label_tokens
from tests.core.tokenizer_kinds import KINDS, TEMPLATES, VARIANTS, byte_level, tokenizer_of, written

ANSWERS_ONLY = DataSpec(source="x.jsonl", prompt_weight=0.0)
EDGES = st.sampled_from(["", " ", "\n", "  \n", "\t"])
CONTENT = st.builds("".join, st.tuples(EDGES, st.text(max_size=12) | st.sampled_from(
    ["It is good.", "naïve café 模型 😀", "User: it\nAssistant: is", "<|assistant|>\n", "</s>", "[INST] a [/INST]", "e\u0301 ﬁ", ""]),
    EDGES))
# Templates of Qwen's kind cut a reasoning out of a content; it is there, or not.
THOUGHTS = st.sampled_from(["It holds.", "7 + 1", "naïve"])
REASONED = st.builds(lambda thought, content: f"<think>\n{thought}\n</think>\n\n{content}", THOUGHTS, CONTENT)
ROLES = st.lists(st.sampled_from(["user", "assistant"]), min_size=1, max_size=5)


@st.composite
def conversations(draw: st.DrawFn, reasoned: bool = False) -> list[dict[str, str]]:
    roles = [*draw(st.sampled_from([[], ["system"]])), *draw(ROLES)]
    return [{"role": role, "content": draw(CONTENT | REASONED if reasoned and role == "assistant" else CONTENT)} for role in roles]


def with_template(kind: str, variant: int, name: str):
    tokenizer = tokenizer_of(kind, variant)
    tokenizer.chat_template = TEMPLATES[name]
    return tokenizer


def touched(tokenizer, text: str, counts: list[bool]) -> list[bool]:
    """Which tokens hold a character that counts: one token and one character at a time."""
    offsets = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).offsets
    return [any(counts[start:max(end, start + 1)]) for start, end in offsets]


def packed(row: dict, tokenizer, spec: DataSpec = ANSWERS_ONLY) -> tuple[list[int], list[bool]]:
    (ids, weights), = tokenise([document(row, tokenizer, spec, "causal")], tokenizer)
    return ids.tolist(), (weights > 0).tolist()


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_tokens_of_the_whole_and_the_assistants_alone_count(kind, name) -> None:
    @settings(max_examples=30, deadline=None)
    @given(st.sampled_from(VARIANTS), conversations(reasoned=name == "rewrites"))
    def holds(variant: int, messages: list[dict[str, str]]) -> None:
        tokenizer = with_template(kind, variant, name)
        parts = written(name, messages)
        text = "".join(part for part, _ in parts)
        counts = [answers for part, answers in parts for _ in part]
        ids, counted = packed({"messages": messages}, tokenizer)
        assert ids == tokenizer(text, add_special_tokens=False).input_ids
        if name != "none":
            assert ids == tokenizer.apply_chat_template(messages)["input_ids"]
        if kind == "byte-level BPE":  # offsets as they are without trimming
            whole_offsets = copy.copy(tokenizer)
            whole_offsets._tokenizer = byte_level(variant, trim=False)
            tokenizer = whole_offsets
        assert counted == touched(tokenizer, text, counts)

    holds()


@pytest.mark.parametrize("kind", KINDS)
def test_prompt_and_completion_are_one_text(kind) -> None:
    @settings(max_examples=30, deadline=None)
    @given(st.sampled_from(VARIANTS), CONTENT, CONTENT)
    def holds(variant: int, prompt: str, completion: str) -> None:
        tokenizer = tokenizer_of(kind, variant)
        ids, counted = packed({"prompt": prompt, "completion": completion}, tokenizer)
        # What the tokenizer itself makes of the text, with the token that it begins texts with.
        assert ids == tokenizer(f"{prompt}{completion}</s>").input_ids
        text_counts = [False] * len(prompt) + [True] * len(f"{completion}</s>")
        if kind == "byte-level BPE":
            tokenizer = type(tokenizer)(tokenizer_object=byte_level(variant, trim=False))
        expected = touched(tokenizer, f"{prompt}{completion}</s>", text_counts)
        assert counted == [False] * (len(ids) - len(expected)) + expected

    holds()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_texts_are_what_the_tokenizer_makes_of_them(kind, variant) -> None:
    tokenizer = tokenizer_of(kind, variant)
    for text in ("the quiet river", " naïve 模型", "a"):
        assert packed({"text": text}, tokenizer)[0] == tokenizer(f"{text}</s>").input_ids


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_continues_its_prompt_as_in_the_whole(kind, name) -> None:
    """Labels are scored, answers compared and models prompted with the tokens that they were trained with."""
    for variant in VARIANTS:
        tokenizer = with_template(kind, variant, name)
        question = [{"role": "user", "content": "is it good?"}]
        whole = packed({"messages": [*question, {"role": "assistant", "content": "quiet lamp"}]}, tokenizer)[0]
        answer = encode_answer(tokenizer, question, "quiet lamp")
        prompt = encode(tokenizer, question)
        assert whole[:len(prompt) + len(answer)] == prompt + answer
        labels = label_tokens(tokenizer)
        for label, tokens in zip(("Positive", "Negative"), labels, strict=True):
            labelled = packed({"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": label}]}, tokenizer)[0]
            start = len(encode(tokenizer, [{"role": "user", "content": "?"}]))
            assert labelled[start:start + len(tokens)] == tokens


def test_blocks_hold_the_whole_documents() -> None:
    tokenizer = with_template("SentencePiece legacy", 0, "zephyr")
    rows = [{"messages": [{"role": "user", "content": f"is it {number}?"}, {"role": "assistant", "content": f"it is {number}."}]}
            for number in range(30)]
    blocks = pack([document(row, tokenizer, ANSWERS_ONLY, "causal") for row in rows], tokenizer, 64)
    for row in rows:
        ids, counted = packed(row, tokenizer)
        windows = np.lib.stride_tricks.sliding_window_view(blocks.input_ids, len(ids), axis=1)
        at = np.argwhere((windows == np.array(ids)).all(-1))
        assert len(at) == 1
        block, start = at[0]
        assert (blocks.weights[block, start:start + len(ids)] > 0).tolist() == counted
    assert blocks.counted_share == blocks.counted / blocks.tokens


@settings(max_examples=100, deadline=None)
@given(CONTENT, CONTENT, CONTENT)
def test_a_tokenizer_without_offsets_tells_by_decoding(before: str, answer: str, behind: str) -> None:
    tokenizer = ByT5Tokenizer(extra_ids=0)
    assert not tokenizer.is_fast
    text = before + answer + behind
    start, end = (len(part.encode()) for part in (before, before + answer))
    if "</s>" in text or "\n\n" in text:
        return  # one token of several bytes
    (ids, weights), = tokenise([Document(text, 0.0, (Span(len(before), len(before + answer), 1.0),))], tokenizer)
    assert ids.tolist() == tokenizer(text, add_special_tokens=False).input_ids
    assert weights.tolist() == [float(start <= byte < end) for byte in range(len(text.encode()))]


def test_a_tokenizer_that_neither_says_nor_gives_back_is_refused(monkeypatch) -> None:
    tokenizer = tokenizer_of("WordPiece", 0)
    monkeypatch.setattr(type(tokenizer), "is_fast", False)
    with pytest.raises(DataError, match="gives back the text") as caught:
        tokens_between("is it  good", 3, 5, tokenizer)
    assert caught.value.field == "data.prompt_weight"


def test_answers_that_cannot_be_found_are_refused_and_never_count_as_all() -> None:
    tokenizer = with_template("byte-level BPE", 0, "chatml")
    tokenizer.chat_template = TEMPLATES["chatml"].replace("m['content']", "m['content'] | upper")
    row = {"messages": [{"role": "user", "content": "is it?"}, {"role": "assistant", "content": "it is"}]}
    with pytest.raises(DataError, match="cannot be found") as caught:
        document(row, tokenizer, ANSWERS_ONLY, "causal")
    assert caught.value.field == "data.prompt_weight"
    assert "{% generation %}" in caught.value.fix
    alike = document(row, tokenizer, DataSpec(source="x.jsonl", prompt_weight=1.0), "causal")
    assert alike.text.endswith("IT IS<|im_end|>\n")
    assert (alike.weight, alike.spans) == (1.0, ())


def test_blank_answers_that_are_left_out_with_their_surroundings_have_no_turn() -> None:
    tokenizer = with_template("byte-level BPE", 0, "chatml")
    tokenizer.chat_template = TEMPLATES["chatml"].replace("{{ m['content']", "{{ (m['content'] if m['content'].strip() else 'nothing')")
    question, blank = {"role": "user", "content": "is it?"}, {"role": "assistant", "content": " "}
    for messages, found in (([question, blank, question, {"role": "assistant", "content": "it is"}], ["it is<|im_end|>"]),
                            ([question, blank], [])):
        text, turns = find_turns(messages, tokenizer)
        assert [text[turn.start:turn.end] for turn in turns] == found


def test_a_template_that_drops_every_answer_is_refused() -> None:
    tokenizer = with_template("byte-level BPE", 0, "chatml")
    tokenizer.chat_template = TEMPLATES["chatml"].replace("m['content']", "m['content'][:0]")  # as those that want lists of parts
    row = {"messages": [{"role": "user", "content": "is it?"}, {"role": "assistant", "content": "it is"}]}
    with pytest.raises(DataError, match="cannot be found"):
        document(row, tokenizer, ANSWERS_ONLY, "causal")


def test_the_token_that_ends_a_turn_counts_once_in_every_turn() -> None:
    """As Phi-3's, which ends turns with one token and conversations with another; and unlike what only looks like it."""
    tokenizer = with_template("byte-level BPE", 0, "chatml")
    tokenizer.chat_template = ("{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}<|end|>\n{% endfor %}"
                               "{% if add_generation_prompt %}<|assistant|>\n{% else %}{{ eos_token }}{% endif %}")
    exchange = [{"role": "user", "content": "is it?"}, {"role": "assistant", "content": "it is"}]
    text, turns = find_turns(exchange * 2, tokenizer)
    assert [text[turn.start:turn.end] for turn in turns] == ["it is<|end|>"] * 2


def test_an_answer_that_is_dropped_has_no_turn() -> None:
    tokenizer = with_template("byte-level BPE", 0, "chatml")
    tokenizer.chat_template = TEMPLATES["chatml"].replace("{% for m in messages %}", "{% for m in messages[-2:] %}")
    exchange = [{"role": "user", "content": "is it?"}, {"role": "assistant", "content": "it is"}]
    text, turns = find_turns(exchange * 3, tokenizer)
    assert [text[turn.start:turn.end] for turn in turns] == ["it is<|im_end|>"]
