"""The turns of one pane, as values: shown by the browser, sent to the model, written into the transcript."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from workbench.inference.wire import Answer, ModelCard

FINISHES = {"length": "cut at the limit", "context": "context full", "stopped": "stopped"}


@dataclass(frozen=True, slots=True)
class Turn:
    """One question and what became of it.

    Attributes:
        question: the user's text.
        text: the answer so far.
        error: why there is none, or why it broke off.
        card: the model that answered, once it was loaded.
        answer: how the answer ended; None while it is under way or when it failed.
        sampling: how its tokens were drawn, by the names of `core.generation.streaming.Sampling`.
        waited: seconds from the question to the first text, with the loading of the model.
        remembers: whether the model read the turns before it too.
    """

    question: str
    text: str = ""
    error: str = ""
    card: ModelCard | None = None
    answer: Answer | None = None
    sampling: Mapping[str, float] | None = None
    waited: float | None = None
    remembers: bool = False


CHOICE = re.compile(r"\b(is|are|was|were|does|do)\b.*\b\w+ or \w+\s*\?\s*$|^\s*classify\b", re.IGNORECASE)

Turns = tuple[Turn, ...]


def dumps(turns: Sequence[Turn]) -> str:
    """Return turns as text that `loads` reads: what a tab keeps between two questions."""
    return json.dumps([asdict(turn) for turn in turns])


def loads(text: str) -> Turns:
    """Return the turns that `dumps` wrote; none from an empty text."""
    return tuple(_turn(plain) for plain in json.loads(text or "[]"))


def _turn(plain: dict[str, Any]) -> Turn:
    card, answer = plain.pop("card"), plain.pop("answer")
    return Turn(**plain, card=ModelCard(**card) if card else None, answer=Answer(**answer) if answer else None)


def conversation(turns: Iterable[Turn], question: str) -> list[dict[str, str]]:
    """Return the messages that a model reads: every question that got an answer, with it, then the new one."""
    answered = [turn for turn in turns if turn.text]
    said = [message for turn in answered for message in (_message("user", turn.question), _message("assistant", turn.text))]
    return [*said, _message("user", question)]


def asks_for_label(question: str) -> bool:
    """Whether a question names the answers to choose from, as "Is this review positive or negative?" or "Classify ...".

    Drawn at random, the labels of two models differ by luck where their probabilities hardly do.
    """
    return any(CHOICE.search(line) for line in question.splitlines())


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def display(turns: Iterable[Turn]) -> list[dict[str, Any]]:
    """Return the messages of Gradio's Chatbot. An error is a message with a title, in the place of the answer."""
    shown: list[dict[str, Any]] = []
    for turn in turns:
        shown.append(_shown("user", turn.question))
        if turn.text or not turn.error:
            shown.append(_shown("assistant", turn.text or ("…" if turn.answer is None else "(empty answer)")))
        if turn.error:
            title = "The answer broke off" if turn.text else "No answer"
            shown.append(_shown("assistant", turn.error) | {"metadata": {"title": title}})
    return shown


def _shown(role: str, text: str) -> dict[str, Any]:
    # As a part of type text it is shown as it is; a plain string would lose its indentation.
    return {"role": role, "content": [{"type": "text", "text": text}]}


def transcript(panes: Mapping[str, Turns]) -> str:
    """All panes as Markdown, question by question, with what is needed to get the same answers again.

    Args:
        panes: model reference -> its turns, the teacher first.
    """
    lines = ["# Comparison", ""]
    for name, turns in panes.items():
        card = next((turn.card for turn in reversed(turns) if turn.card), None)
        facts = f": {card.parameters:,} parameters, {card.layers} layers, weights `{card.weights}`" if card else ""
        lines.append(f"- **{name}**{facts}")
    for number in range(max((len(turns) for turns in panes.values()), default=0)):
        given = {name: turns[number] for name, turns in panes.items() if number < len(turns)}
        first = next(iter(given.values()))
        sampling = ", ".join(f"{name} {value:g}" for name, value in (first.sampling or {}).items())
        lines += ["", f"## {number + 1}", "", *_quoted(first.question), "", *([f"Sampling: {sampling}"] if sampling else [])]
        for name, turn in given.items():
            lines += ["", f"### {name}", "", *_fenced(turn.text), *([f"_{turn.error}_", ""] if turn.error else []), *_measured(turn)]
    return "\n".join(lines).rstrip() + "\n"


def _quoted(text: str) -> list[str]:
    return [f"> {line}".rstrip() for line in text.splitlines()]


def _fenced(text: str) -> list[str]:
    fence = "```"
    while fence in text:
        fence += "`"
    return [f"{fence}text", text, fence, ""] if text else []


def _measured(turn: Turn) -> list[str]:
    if turn.answer is None:
        return []
    answer = turn.answer
    finish = f", {FINISHES[answer.finish]}" if answer.finish in FINISHES else ""
    first = answer.seconds_to_first_token if turn.waited is None else turn.waited
    return [f"{answer.tokens} tokens, first after {first:.2f} s, {answer.tokens_per_second:.1f} tokens/s{finish}"]
