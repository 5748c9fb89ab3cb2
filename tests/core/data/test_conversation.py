"""Prompts that fit, answers in their place, and text that arrives in pieces."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data.conversation import Detokenizer, encode, encode_answer, fit_prompt
from core.errors import ConfigError
from tests.core.chat_models import chat_tokenizer

QUESTION = {"role": "user", "content": "Is it good?"}
ANSWER = {"role": "assistant", "content": "It is."}


@pytest.fixture
def tokenizer():
    return chat_tokenizer()


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=40).filter(lambda text: "<|" not in text))
def test_pieces_join_to_the_decoded_whole(text: str) -> None:
    tokenizer = chat_tokenizer()
    token_ids = tokenizer(text, add_special_tokens=False).input_ids
    detokenizer = Detokenizer(tokenizer)
    pieces = [detokenizer.push(token_id) for token_id in token_ids]
    assert "".join(pieces) + detokenizer.flush() == tokenizer.decode(token_ids, clean_up_tokenization_spaces=False)


BYTES = st.sampled_from(chat_tokenizer()("🎬🎭€é", add_special_tokens=False).input_ids)


@settings(deadline=None, max_examples=300)
@given(st.lists(BYTES | st.integers(0, len(chat_tokenizer()) - 1), max_size=20))
def test_pieces_of_any_tokens_join_to_the_decoded_whole(token_ids: list[int]) -> None:
    tokenizer = chat_tokenizer()
    token_ids = [token_id for token_id in token_ids if token_id not in tokenizer.all_special_ids]
    detokenizer = Detokenizer(tokenizer)
    pieces = [detokenizer.push(token_id) for token_id in token_ids]
    assert "".join(pieces) + detokenizer.flush() == tokenizer.decode(token_ids)


def test_bytes_that_become_no_character_do_not_hold_up_the_text(tokenizer) -> None:
    middle = tokenizer("🎬", add_special_tokens=False).input_ids[2]
    detokenizer = Detokenizer(tokenizer)
    assert len("".join(detokenizer.push(middle) for _ in range(100))) > 90


def test_half_a_character_waits_for_its_other_half(tokenizer) -> None:
    token_ids = tokenizer("é🎬", add_special_tokens=False).input_ids
    assert len(token_ids) > 2
    detokenizer = Detokenizer(tokenizer)
    pieces = [detokenizer.push(token_id) for token_id in token_ids]
    assert all("\N{REPLACEMENT CHARACTER}" not in piece for piece in pieces)
    assert "".join(pieces) == "é🎬"


def test_an_incomplete_character_is_flushed(tokenizer) -> None:
    detokenizer = Detokenizer(tokenizer)
    assert detokenizer.push(tokenizer("🎬", add_special_tokens=False).input_ids[0]) == ""
    assert detokenizer.flush() == "\N{REPLACEMENT CHARACTER}"


def test_special_tokens_are_not_text(tokenizer) -> None:
    assert Detokenizer(tokenizer).push(tokenizer.eos_token_id) == ""


def test_the_oldest_exchanges_are_left_out_first(tokenizer) -> None:
    messages = [QUESTION, ANSWER] * 4 + [QUESTION]
    exchange = len(encode(tokenizer, messages)) - len(encode(tokenizer, messages[2:]))
    room = len(encode(tokenizer, messages)) - exchange
    prompt = fit_prompt(tokenizer, messages, room + 5, answer=5)
    assert prompt.left_out == 2
    assert prompt.token_ids == encode(tokenizer, messages[2:])
    assert fit_prompt(tokenizer, messages, room + exchange + 5, answer=5).left_out == 0


def test_the_system_message_stays(tokenizer) -> None:
    system = {"role": "system", "content": "Be brief."}
    messages = [system, QUESTION, ANSWER, QUESTION]
    shortest = encode(tokenizer, [system, QUESTION])
    prompt = fit_prompt(tokenizer, messages, len(shortest) + 1, answer=1)
    assert prompt.token_ids == shortest
    assert prompt.left_out == 2


def test_the_last_question_may_take_room_from_the_answer_but_not_all(tokenizer) -> None:
    size = len(encode(tokenizer, [QUESTION]))
    assert len(fit_prompt(tokenizer, "Is it good?", size + 1, answer=20).token_ids) == size
    with pytest.raises(ConfigError, match=f"{size} tokens.*{size} at most"):
        fit_prompt(tokenizer, "Is it good?", size, answer=20)


def test_an_answer_is_encoded_where_it_stands(tokenizer) -> None:
    assert encode_answer(tokenizer, [QUESTION], "It is.") == tokenizer("It is.", add_special_tokens=False).input_ids
    bare = chat_tokenizer.__wrapped__()
    bare.chat_template = None  # plain lines: "Assistant: It is."
    assert encode_answer(bare, [QUESTION], "It is.") == bare(" It is.", add_special_tokens=False).input_ids


@pytest.mark.parametrize("answer", ["It is.", "It is.\n", " It is."])
def test_an_answer_that_its_template_trims_is_encoded_as_it_is(answer) -> None:
    trims = chat_tokenizer.__wrapped__()
    trims.chat_template = trims.chat_template.replace("message['content'] + eos_token", "message['content'] | trim + eos_token")
    assert encode_answer(trims, [QUESTION], answer) == trims(answer, add_special_tokens=False).input_ids
