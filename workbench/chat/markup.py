"""The pane's own HTML: who answers, and the lens. Everything that models or users wrote is escaped."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from core.system import units
from workbench.chat.turns import FINISHES, Turn, asks_for_label
from workbench.inference.wire import ModelCard
from workbench.store.references import short

# Nats at which a token is marked more strongly; below the first it is not marked.
LEVELS = (0.1, 0.5, 1.0, 2.0)
LOADING_SHOWN = 0.5  # seconds from which on the wait for a model is named


def header(name: str, role: str, card: ModelCard | None = None, turn: Turn | None = None, *, note: str = "", error: str = "") -> str:
    """Who answers in a pane: name, size, the weights that are really loaded, and how fast the last answer came.

    Args:
        note: what it is doing now.
        error: why it cannot answer.
    """
    lines = [f'<p class="name"><span class="role">{escape(role)}</span> <strong title="{escape(name)}">{escape(short(name))}</strong></p>']
    if error:
        lines.append(f'<p class="error" role="alert">{escape(error)}</p>')
    else:
        speed = [note] if note else _speed(turn)
        lines.append(f'<p class="facts">{" · ".join(_facts(card))}</p>')
        lines.append(f'<p class="speed" aria-live="polite">{" · ".join(map(escape, speed))}</p>')
    return f'<div class="header">{"".join(lines)}</div>'


def _facts(card: ModelCard | None) -> list[str]:
    if card is None:
        return []
    facts = [f"{units.count(card.parameters)} parameters", f"{card.layers} layers", f"weights <code>{escape(card.weights)}</code>"]
    return facts if card.device == "cpu" else [*facts, escape(card.device)]


def _speed(turn: Turn | None) -> list[str]:
    if turn is None or turn.answer is None:
        return []
    answer = turn.answer
    first = answer.seconds_to_first_token if turn.waited is None else turn.waited
    loading = first - answer.seconds_to_first_token
    waiting = f" (of which {loading:.1f} s loading)" if loading >= LOADING_SHOWN else ""
    said = [f"first token {first:.2f} s{waiting}", f"{answer.tokens_per_second:.1f} tokens/s", f"{answer.tokens} tokens"]
    if turn.sampling and not turn.sampling.get("sampling_temperature") and asks_for_label(turn.question):
        said.append("greedy, since the answer is a label")
    if answer.finish in FINISHES:
        said.append(FINISHES[answer.finish])
    if answer.left_out:
        said.append(f"{answer.left_out} oldest messages left out")
    return said


def lens(positions: Sequence[Mapping[str, Any]], teacher: str, student: str, group: str) -> str:
    """Return the teacher's answer, each token marked by how far the student departs from the teacher there, on the same prefix.

    Where the student's first choice is another token, it stands above that token. A mark is a colour and an underline, both stronger
    with the divergence, whose number is in the tooltip. A click on a token opens the top five of both: plain ``<details>``, of which one
    in a `group` is open at a time.
    """
    teacher, student = short(teacher), short(student)
    mean = sum(position["kl"] for position in positions) / len(positions)
    largest = max(position["kl"] for position in positions)
    tokens = "".join(_token(position, teacher, student, group) for position in positions)
    same = sum(not _own_choice(position) for position in positions)
    return (f'<div class="lens"><p class="facts">The answer of {escape(teacher)}, read by {escape(student)} token by token: it would write '
            f'{same} of {len(positions)} tokens itself, the others have its choice above them. '
            f'KL(teacher ‖ student) {mean:.2f} nats a token, {largest:.2f} at most</p>'
            f'<div class="tokens">{tokens}</div>{_legend()}</div>')


def message(text: str) -> str:
    """Something to say in the place of the lens."""
    return f'<div class="lens"><p class="facts">{escape(text)}</p></div>'


def level(kl: float) -> int:
    """How strongly a divergence in nats is marked: 0 (not at all) to 4."""
    return sum(kl >= limit for limit in LEVELS)


def _token(position: Mapping[str, Any], teacher: str, student: str, group: str) -> str:
    text = position["token"]
    shown = escape(text.replace("\n", "⏎")) or "▫"  # part of a character has no text of its own
    rows = "".join(f"<tr>{_candidate(mine)}{_candidate(theirs)}</tr>"
                   for mine, theirs in zip(position["teacher_top5"], position["student_top5"], strict=True))
    head = "".join(f'<th colspan="2">{escape(name)}</th>' for name in (teacher, student))
    table = (f'<div class="top"><p>In front of <b>{shown}</b>: {position["kl"]:.3f} nats</p>'
             f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>")
    own = _own_choice(position)
    above = f'<rt aria-label="{escape(student)} would write">{escape(own)}</rt>' if own else ""
    shown = f"<ruby>{shown}{above}</ruby>" if above else shown
    line_end = "<br>" if "\n" in text else ""
    mark = f'class="l{level(position["kl"])}" title="{position["kl"]:.3f} nats"'
    return f'<details name="{escape(group)}"><summary {mark}>{shown}</summary>{table}</details>{line_end}'


def _own_choice(position: Mapping[str, Any]) -> str:
    """Return the token that the student finds likeliest in this place; empty where it is the one that stands there."""
    chosen = position["student_top5"][0]["token"]
    return "" if chosen == position["token"] else chosen.replace("\n", "⏎").strip() or "▫"


def _candidate(candidate: Mapping[str, Any]) -> str:
    share = candidate["probability"]
    return (f'<td class="token"><code>{escape(candidate["token"].replace(chr(10), "⏎"))}</code></td>'
            f'<td class="share" style="--share:{share:.3f}">{share:.1%}</td>')


def _legend() -> str:
    names = [f"under {LEVELS[0]:g}", *(f"{low:g}–{high:g}" for low, high in itertools.pairwise(LEVELS)), f"over {LEVELS[-1]:g}"]
    marks = "".join(f'<span class="l{number}">{name}</span>' for number, name in enumerate(names))
    return f'<p class="legend">nats: {marks} Click a token for the top five of both.</p>'
