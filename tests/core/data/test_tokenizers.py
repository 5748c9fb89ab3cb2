"""Tokenizers trained on rows: every text comes back, special tokens stand where models expect them."""

from __future__ import annotations

import random
from string import ascii_lowercase

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from core.data.tokenizers import ASSISTANT, BEGIN, END, PADDING, SYSTEM, USER, texts, train_masked_tokenizer, train_tokenizer
from tests.core.chat_models import chat_tokenizer
from tests.core.masked_models import masked_tokenizer

TALK = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Is it good?"}, {"role": "assistant", "content": "Yes."}]


def test_the_texts_of_rows_of_every_format() -> None:
    rows = [{"text": "a"}, {"messages": TALK}, {"prompt": "b", "completion": "c", "weight": 2.0}]
    assert list(texts(rows)) == ["a", "Be short.", "Is it good?", "Yes.", "b", "c"]


@given(st.text())
def test_any_text_comes_back(text: str) -> None:
    tokenizer = chat_tokenizer()
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_a_plain_text_begins_with_its_token() -> None:
    tokenizer = chat_tokenizer()
    assert tokenizer("A film")["input_ids"][0] == tokenizer.bos_token_id
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == (BEGIN, END, PADDING)
    assert len({tokenizer.convert_tokens_to_ids(token) for token in (PADDING, BEGIN, END, USER, ASSISTANT, SYSTEM)}) == 6


def test_a_conversation_ends_its_answers_and_marks_them() -> None:
    tokenizer = chat_tokenizer()
    text = tokenizer.apply_chat_template(TALK, tokenize=False)
    assert text == f"{BEGIN}{SYSTEM}Be short.{USER}Is it good?{ASSISTANT}Yes.{END}"
    assert tokenizer.apply_chat_template(TALK[:2], tokenize=False, add_generation_prompt=True) == text.removesuffix(f"Yes.{END}")
    encoded = tokenizer.apply_chat_template(TALK, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
    marked = [number for number, mine in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True) if mine]
    assert tokenizer.decode(marked) == f"Yes.{END}", "the answer and its end are what is learnt"


@pytest.mark.parametrize(("train", "vocabulary"), [(train_tokenizer, 280), (train_masked_tokenizer, 60)])
def test_the_vocabulary_is_as_large_as_requested(train, vocabulary: int) -> None:
    rows = [{"text": "a quiet film with a very good script and a dull plot " * 3}] * 4
    tokenizer = train(rows, vocabulary, 32)
    assert len(tokenizer) == vocabulary and tokenizer.model_max_length == 32


@pytest.mark.parametrize(("train", "vocabulary"), [(train_tokenizer, 400), (train_masked_tokenizer, 200)])
def test_the_same_rows_give_the_same_vocabulary(train, vocabulary: int) -> None:
    generator = random.Random(0)  # words of random letters: many pairs of them are equally frequent
    words = ["".join(generator.choices(ascii_lowercase, k=6)) for _ in range(300)]
    first, *others = (train([{"text": " ".join(words)}], vocabulary, 32).get_vocab() for _ in range(4))
    assert all(other == first for other in others)


def test_only_special_tokens_are_special() -> None:
    tokenizer = masked_tokenizer()
    assert {str(token) for token in tokenizer.added_tokens_decoder.values()} == {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
    assert "##m" in tokenizer.get_vocab() and "##m" not in tokenizer.tokenize("##m")


def test_masked_texts_stand_between_their_tokens_in_lower_case() -> None:
    tokenizer = masked_tokenizer()
    assert tokenizer.convert_ids_to_tokens(tokenizer("The FILM")["input_ids"]) == ["[CLS]", "the", "film", "[SEP]"]
    assert tokenizer.mask_token_id not in (None, tokenizer.unk_token_id)
    assert tokenizer.tokenize("the [MASK] film") == ["the", "[MASK]", "film"]
    assert tokenizer.tokenize("☃") == ["[UNK]"]


def test_the_second_text_of_a_pair_has_a_type_of_its_own() -> None:
    encoded = masked_tokenizer()("the film", "was good")
    types = dict(zip(masked_tokenizer().convert_ids_to_tokens(encoded["input_ids"]), encoded["token_type_ids"], strict=True))
    assert (types["film"], types["good"]) == (0, 1)


@pytest.mark.parametrize("made", [chat_tokenizer, masked_tokenizer])
def test_a_saved_tokenizer_reads_the_same(made, tmp_path) -> None:
    made().save_pretrained(tmp_path)
    loaded = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    assert loaded("the naïve film")["input_ids"] == made()("the naïve film")["input_ids"]
    assert loaded.chat_template == made().chat_template
