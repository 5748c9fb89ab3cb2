"""Between text and tokens: a conversation as a model reads it, and its answer as a person reads it, while it arrives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.data.chat_template import Message, find_turns, render
from core.data.tokenisation import tokens_between
from core.errors import ConfigError
from core.models.architectures import architecture_of
from core.models.model_files import refuse_damaged
from core.models.vocabulary import decode_text

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Conversation = str | Sequence[Message]

INCOMPLETE = "\N{REPLACEMENT CHARACTER}"  # what byte-level vocabularies decode the first bytes of a character to
CHARACTER_BYTES = 4  # the longest character's in UTF-8


@dataclass(frozen=True, slots=True)
class Prompt:
    """A conversation as the model reads it.

    Attributes:
        token_ids: the rendered conversation, ready for the answer to follow.
        left_out: messages dropped from its beginning because the context is too short for all.
    """

    token_ids: list[int]
    left_out: int


def context_length(model: PreTrainedModel) -> int:
    """Return the length, in tokens, of the longest sequence that the model was built for."""
    return architecture_of(model.config).context(model.config.to_dict())


def as_messages(conversation: Conversation) -> list[Message]:
    """Return a conversation as messages; a string is one user message."""
    return [{"role": "user", "content": conversation}] if isinstance(conversation, str) else list(conversation)


def encode(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> list[int]:
    """Return the token ids of a conversation, ready for the answer to follow."""
    # The template writes the special tokens itself; a text beyond the context is the callers' to refuse, not a warning.
    text = render(messages, tokenizer, add_generation_prompt=True)
    with refuse_damaged("The model's tokenizer", "used"):  # an expression of it may give up on a text in mid-way
        return tokenizer(text, add_special_tokens=False, verbose=False).input_ids


def encode_answer(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], answer: str) -> list[int]:
    """Return the token ids of an answer as they stand in the tokens of the whole conversation: with what the template puts in front of it.

    Raises:
        DataError: as `core.data.chat_template.render` and `core.data.tokenisation.tokenise`.
    """
    text, turns = find_turns([*messages, {"role": "assistant", "content": answer}], tokenizer)
    if turns and text[turns[-1].content:turns[-1].content_end] == answer:
        return tokens_between(text, turns[-1].start, turns[-1].content_end, tokenizer)
    # Templates that rewrite or trim the answer show it otherwise than their model generated it, right behind the prompt.
    prompt = render(messages, tokenizer, add_generation_prompt=True)
    return tokens_between(prompt + answer, len(prompt), len(prompt) + len(answer), tokenizer)


def fit_prompt(tokenizer: PreTrainedTokenizerBase, conversation: Conversation, context: int, answer: int) -> Prompt:
    """Encode a conversation, leaving out its oldest exchanges until `answer` more tokens fit into `context`.

    A leading system message and the last question are always kept; the last question may take some of the answer's room.

    Raises:
        ConfigError: the last question alone fills the context.
    """
    messages = as_messages(conversation)
    system = messages[:1] if messages[0]["role"] == "system" else []
    # Cutting in front of a question keeps whole exchanges, and templates insist that a user speaks first.
    starts = [i for i, message in enumerate(messages) if message["role"] == "user"] or [len(system)]
    starts[0] = len(system)
    for start in starts:
        token_ids = encode(tokenizer, system + messages[start:])
        if len(token_ids) + answer <= context:
            break
    if len(token_ids) >= context:
        raise ConfigError(f"The question has {len(token_ids)} tokens.",
                          f"This model reads {context} at most, question and answer together.",
                          "Shorten the question, or choose a model with a longer context.")
    return Prompt(token_ids, start - len(system))


class Detokenizer:
    """Turns token ids into text as they arrive; the pieces joined are the decoded whole.

    A token may hold part of a character, and some vocabularies drop a leading space, so each step decodes a short
    window and hands out what is new in it.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._window: list[int] = []  # the tokens of the last piece handed out, then those still incomplete
        self._known_tokens = 0
        self._known_text = ""

    def push(self, token_id: int) -> str:
        """Return the text that `token_id` completes; empty while a character is incomplete."""
        self._window.append(token_id)
        text = self._decode()
        # No more tokens than that wait for the rest of a character: what is left then are bytes that never become one,
        # except for the last of them, with which a character may begin.
        broken = text.endswith(INCOMPLETE)
        if broken and len(self._window) - self._known_tokens < CHARACTER_BYTES:
            return ""
        piece = _settled(text)[len(self._known_text):]
        if piece:
            del self._window[: self._known_tokens]
            self._known_tokens = len(self._window) - (CHARACTER_BYTES - 1 if broken else 0)
            self._known_text = _settled(self._decode())
        return piece

    def flush(self) -> str:
        """Return what an incomplete character leaves when no more tokens come."""
        return self._decode()[len(self._known_text):]

    def _decode(self) -> str:
        return decode_text(self._tokenizer, self._window, skip_special_tokens=True, clean_up_tokenization_spaces=False)


def _settled(text: str) -> str:
    """Return `text` as far as later tokens cannot change it: its last character may be the beginning of another."""
    return text.removesuffix(INCOMPLETE)
