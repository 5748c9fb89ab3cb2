"""How messages become the text that a model reads, by its own chat template or plainly when it has none, and where answers stand in it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import Any

from core.data.formats import require_characters
from core.data.template_limits import TemplateFailedError, check, render_within_limits
from core.errors import DataError, shorten

Message = dict[str, str]
Piece = tuple[str, tuple[str, ...] | None]  # of a content: a part, and how it may be written if a word replaces it

# For base models such as GPT-2. A turn ends with a newline, so that generation can stop there.
PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] | capitalize }}:{% if message['role'] == 'assistant' %}"
    "{% generation %} {{ message['content'] }}\n{{ eos_token }}{% endgeneration %}"
    "{% else %} {{ message['content'] }}\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
MARKED = re.compile(r"\{%-?\s*generation\s*-?%\}")  # a template that says itself what the assistant writes
# What templates look for in a message, as the tags around a reasoning; only those that the template names matter.
REASONING = re.compile(r"</?[A-Za-z_][\w-]*>")
MARK = re.compile(r"<\|[^<>|\s]+\|>")
TAG = re.compile(rf"{REASONING.pattern}|{MARK.pattern}|\[/?[A-Z_]+\]")


@dataclass(frozen=True, slots=True)
class Turn:
    """Where one answer of the assistant stands in a rendered conversation, in characters.

    Attributes:
        start: behind the prompt that asks for it. What the template puts between prompt and content, as a space or an empty
            block of reasoning, the model has to write itself.
        content: where the content begins.
        content_end: where it ends, as the template left it: some trim it, some drop an earlier reasoning.
        end: behind the token that ends the turn.
    """

    start: int
    content: int
    content_end: int
    end: int


@dataclass(frozen=True, slots=True)
class Framing:
    """What a template writes around an answer.

    Attributes:
        prompt: the generation prompt, as ``<|im_start|>assistant`` and a newline; empty where there is none.
        lead: what follows the generation prompt in front of the content.
        closing: what follows the content, up to the first special token in it.
    """

    prompt: str
    lead: str
    closing: str


def render(messages: Sequence[Message], tokenizer: Any, *, add_generation_prompt: bool = False) -> str:
    """Return the text of a conversation, special tokens included: tokenise it with ``add_special_tokens=False``.

    Raises:
        DataError: the model's template refuses the conversation, as some refuse system messages.
    """
    return _rendered(messages, tokenizer, add_generation_prompt)[0]


def render_answers(messages: Sequence[Message], tokenizer: Any) -> tuple[str, list[tuple[int, int]] | None]:
    """Return the text of a conversation, and from which to which character the assistant's turns go: each with the token that ends it.

    A template's own ``{% generation %}`` marks decide; without them the turns are found by `find_turns`. None where neither tells.

    Raises:
        DataError: as `render`.
    """
    if MARKED.search(_template(tokenizer)):
        text, marks = _rendered(messages, tokenizer, marked=True)
        if marks or all(message["role"] != "assistant" for message in messages):
            return text, marks
    text, turns = find_turns(messages, tokenizer)
    return text, None if turns is None else [(turn.start, turn.end) for turn in turns]


def find_turns(messages: Sequence[Message], tokenizer: Any) -> tuple[str, list[Turn] | None]:
    """Return the text of a conversation and its assistant's turns, in the order in which they stand there.

    The conversation is rendered a second time with a unique word in place of each answer. What stands between these words is
    the template's own text and the prompts, also where it writes earlier turns otherwise than the last one; the first text must
    consist of it and of the answers, as they are or trimmed. Where it does not, the template may take answers apart at tags, as
    at ``</think>``: then the words replace what stands between these. An answer that the template drops has no turn, nor has a
    blank one that it writes in a way of its own. None where this does not add up either, or where all answers are dropped.

    Raises:
        DataError: as `render`.
    """
    text = render(messages, tokenizer)
    answers = [message["content"] for message in messages if message["role"] == "assistant"]
    if not answers:
        return text, []
    for pieces_of in (_whole, _between_tags, _not_blank):
        turns = _turns(text, messages, tokenizer, pieces_of)
        if turns or (turns is not None and not "".join(answers).strip()):
            return text, turns
    return text, None


def _template(tokenizer: Any) -> str:
    try:
        return check(tokenizer.get_chat_template()) if tokenizer.chat_template else PLAIN_TEMPLATE
    except (AttributeError, LookupError, TypeError, ValueError) as error:  # several templates, none of them the default
        raise DataError(f"The model's chat template cannot be used: {error}", "One template, or one called 'default', was expected.",
                        "Name it 'default' in the model's folder, or choose another model.") from error


def _rendered(messages: Sequence[Message], tokenizer: Any, add_generation_prompt: bool = False,
              marked: bool = False) -> tuple[str, list[tuple[int, int]]]:
    try:
        text, marks = render_within_limits(messages, _template(tokenizer), tokenizer.special_tokens_map, marked=marked,
                                           add_generation_prompt=add_generation_prompt)
    except TemplateFailedError as error:  # on a conversation of an order that it does not know a template may fail in any way
        roles = shorten(", ".join(message["role"] for message in messages))
        raise DataError(f"The model's chat template refuses a conversation of {roles}: {shorten(str(error))}.",
                        "Most templates expect user and assistant in turns.",
                        "Leave out system messages, or choose another model.") from error
    return require_characters(text, "What the model's chat template makes of the conversation"), marks


def _turns(text: str, messages: Sequence[Message], tokenizer: Any, pieces_of: Callable[[str, str], Iterator[Piece]]) -> list[Turn] | None:
    template, special = _template(tokenizer), json.dumps(tokenizer.special_tokens_map, sort_keys=True, default=str)
    word = _unused(template, special, text, *(message["content"] for message in messages))
    parts: list[tuple[int, tuple[str, ...]]] = []  # of each replaced part: its message, and how the template may write it
    replaced = list(messages)
    for number, message in enumerate(messages):
        if message["role"] == "assistant":
            content = ""
            for piece, options in pieces_of(message["content"], template):
                content += piece if options is None else f"{word}{len(parts)}x"
                if options is not None:
                    parts.append((number, options))
            replaced[number] = {**message, "content": content}
    literals = re.split(f"{word}([0-9]+)x", render(replaced, tokenizer))
    between, found = literals[::2], [parts[int(part)] for part in literals[1::2]]
    places = _aligned(text, between, [options for _, options in found])
    if places is None:
        return None
    framing, turns = _framing(tokenizer, template, special), []
    for index, (number, _) in enumerate(found):
        if index == 0 or found[index - 1][0] != number:
            last = max(other for other, (of, _) in enumerate(found) if of == number)
            begins, ends = places[index][0], places[last][1]
            turns.append(Turn(begins - _behind_prompt(between[index], framing), begins, ends, ends + _closing(between[last + 1], framing)))
    return turns


def _unused(*texts: str) -> str:
    """Return a word that stands in none of the texts, and that no template has a reason to change."""
    return next(word for word in (f"Q{number}zx" for number in count(1000)) if not any(word in text for text in texts))


def _whole(content: str, _template: str) -> Iterator[Piece]:
    yield content, _written_as(content)


def _between_tags(content: str, template: str) -> Iterator[Piece]:
    """Yield a content in parts: tags that the template names, and the white space around the rest, stay as they are."""
    tags = [tag for tag in dict.fromkeys(TAG.findall(content)) if tag in template]
    parts = re.split(f"({'|'.join(map(re.escape, tags))})", content) if tags else [content]
    for index, part in enumerate(parts):
        core = part.strip()
        if part in tags:
            yield part, None
        elif core and tags:
            before, _, behind = part.partition(core)
            yield before, None
            yield core, (core,)
            yield behind, None
        elif part or index == len(parts) - 1:  # what follows the last tag is where the content ends, also where nothing does
            yield part, _written_as(part)


def _not_blank(content: str, template: str) -> Iterator[Piece]:
    """Yield a content as `_between_tags` does, and a blank one as it is: some templates leave out more than the content then."""
    yield from _between_tags(content, template) if content.strip() else [(content, None)]


def _written_as(content: str) -> tuple[str, ...]:
    """Return the forms in which templates write a content: as it is, or trimmed."""
    return tuple(dict.fromkeys((content, content.strip(), content.lstrip(), content.rstrip(), content.strip("\n"), content.lstrip("\n"),
                                content.rstrip("\n"))))


def _aligned(text: str, between: Sequence[str], options: Sequence[tuple[str, ...]]) -> list[tuple[int, int]] | None:
    """Return where in `text` the contents stand: it is `between` with one of the options in each gap. None if it is not."""
    waiting: list[tuple[int, tuple[tuple[int, int], ...]]] = [(len(between[0]), ())] if text.startswith(between[0]) else []
    seen: set[tuple[int, int]] = set()
    while waiting:
        at, places = waiting.pop()
        index = len(places)
        if index == len(options):
            if at == len(text):
                return list(places)
            continue
        for option in reversed(options[index]):
            end = at + len(option)
            behind = end + len(between[index + 1])
            if text.startswith(option, at) and text.startswith(between[index + 1], end) and (index, behind) not in seen:
                seen.add((index, behind))
                waiting.append((behind, (*places, (at, end))))
    return None


@lru_cache(maxsize=4)
def _framing(tokenizer: Any, template: str, special: str) -> Framing:
    """Return what a template writes around an answer, as a short conversation shows. `special`: the tokenizer's, which may change."""
    word = _unused(template, special)
    question, answer = f"{word}question", f"{word}answer"
    user = [{"role": "user", "content": question}]
    bare, prompt = render(user, tokenizer), render(user, tokenizer, add_generation_prompt=True)
    whole = render([*user, {"role": "assistant", "content": answer}], tokenizer)
    before, found, closing = whole.rpartition(answer)
    if not found:
        return Framing("", "", "")
    added = (str(token) for token in tokenizer.added_tokens_decoder.values())
    tokens = {*tokenizer.all_special_tokens, *added, *MARK.findall(closing)} - {""}
    ends = [(closing.find(token), -len(token)) for token in tokens if token in closing]
    if ends:
        at, length = min(ends)
        closing = closing[:at - length]
    lead = before[len(prompt):] if before.startswith(prompt) else ""
    return Framing(prompt[len(bare):] if prompt.startswith(bare) else "", lead, closing)


def _behind_prompt(before: str, framing: Framing) -> int:
    """Return how many of the last characters in front of a content come behind the prompt that asks for it."""
    if framing.prompt and framing.prompt in before:
        rest = before[before.rindex(framing.prompt) + len(framing.prompt):]
        return len(rest) if rest == framing.lead or not REASONING.sub("", rest).strip() else 0
    return len(framing.lead) if before.endswith(framing.lead) else 0


def _closing(behind: str, framing: Framing) -> int:
    """Return how many of the characters behind a content close the turn."""
    blank_behind = len(behind) - len(behind.lstrip())  # a content may have ended with white space
    for closing, blank in ((framing.closing, 0), (framing.closing.lstrip(), blank_behind)):
        if closing and behind.startswith(closing, blank):
            return blank + len(closing)
    return 0
