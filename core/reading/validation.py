"""A teacher's answer -> notes, or why it was dropped: an entity must occur in its sentence, an answer be found in it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from core.reading.notes import ANSWER, ENTITIES, NONE, QUESTION, Behaviour, Entity, Question

TRUNCATED, REFUSED, MALFORMED = "truncated", "refused", "malformed"
NOT_IN_SENTENCE, ANSWER_MISSING, WHOLE_SENTENCE, REJECTED = ("entity not in its sentence", "answer not in its sentence",
                                                             "answer is the sentence", "rejected by a reader")
LONGEST_TYPE = 3  # words of an entity's type
ENTITY = re.compile(r"\s*(?P<text>[^;()]+?)\s*\((?P<type>[^()]+)\)\s*(?::\s*(?P<note>[^;]*?))?\s*(?:;|$)")
REFUSAL = re.compile(r"\b(I'?m sorry|I am sorry|I can(?:no|')t|I cannot|as an AI|unable to (?:help|assist|comply))\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Validated:
    """What is left of an answer.

    Attributes:
        notes: of the behaviour; None where the whole answer was dropped.
        dropped: a reason for each part that was dropped.
    """

    notes: tuple[Entity, ...] | tuple[Question, ...] | None
    dropped: tuple[str, ...] = ()


@dataclass
class ValidationStatistics:
    """How many answers held, and why parts of others did not.

    Attributes:
        answers, valid: answers by behaviour, and those of which something is left, or that rightly say none.
        dropped: behaviour -> reason -> parts of answers.
    """

    answers: Counter[str] = field(default_factory=Counter)
    valid: Counter[str] = field(default_factory=Counter)
    dropped: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, behaviour: Behaviour, validated: Validated) -> None:
        """Count one answer."""
        self.answers[behaviour] += 1
        self.valid[behaviour] += validated.notes is not None
        self.dropped.setdefault(behaviour, Counter()).update(validated.dropped)

    @property
    def share(self) -> float:
        """Return the share of answers that are valid, 0 to 1; 1 where there are none."""
        return sum(self.valid.values()) / max(1, sum(self.answers.values())) if self.answers else 1.0

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {"answers": dict(self.answers), "valid": dict(self.valid), "share_valid": round(self.share, 4),
                "dropped": {behaviour: dict(reasons) for behaviour, reasons in self.dropped.items()}}


def validate(behaviour: Behaviour, sentence: str, answer: str, *, whole: bool = True) -> Validated:
    """Return the notes that an answer gives of a sentence.

    Args:
        answer: as the teacher left it; its first line counts.
        whole: whether the teacher ended it. Of a truncated list of entities the last one is dropped.
    """
    text = _first_line(answer, behaviour)
    if REFUSAL.search(text):
        return Validated(None, (REFUSED,))
    return _entities(sentence, text, whole) if behaviour == "entities" else _question(sentence, text, whole)


def _first_line(answer: str, behaviour: Behaviour) -> str:
    label = ENTITIES if behaviour == "entities" else QUESTION
    text = answer.strip()
    # Chat models like to write question and answer on lines of their own.
    text = re.sub(rf"\n+\s*(?={re.escape(ANSWER)})", " ", text) if behaviour == "questions" else text
    return text.split("\n")[0].removeprefix(label).strip()


def _entities(sentence: str, text: str, whole: bool) -> Validated:
    if text.lower().strip(" .") in (NONE, "no named entities", "no entities"):
        return Validated(())
    parts = [part for part in text.split(";") if part.strip()]
    dropped: list[str] = []
    if not whole and parts:
        parts.pop()
        dropped.append(TRUNCATED)
    kept: dict[tuple[str, str], Entity] = {}
    for part in parts:
        found = ENTITY.fullmatch(part)
        if found is None or len(found["type"].split()) > LONGEST_TYPE:
            dropped.append(MALFORMED)
            continue
        start = locate(found["text"], sentence)
        if start < 0:
            dropped.append(NOT_IN_SENTENCE)
            continue
        name = sentence[start:start + len(found["text"])]
        kept.setdefault((name, found["type"].lower()), Entity(name, found["type"].lower(), (found["note"] or "").strip(), start))
    if not kept:
        return Validated(None, tuple(dropped) or (MALFORMED,))
    return Validated(tuple(sorted(kept.values(), key=lambda entity: entity.start)), tuple(dropped))


def _question(sentence: str, text: str, whole: bool) -> Validated:
    if not whole:
        return Validated(None, (TRUNCATED,))
    kept: list[Question] = []
    dropped: list[str] = []
    for part in re.split(rf"\s*{re.escape(QUESTION)}\s*", text):
        question, label, answer = (each.strip() for each in part.partition(ANSWER))
        if not label or not question.endswith(("?", "？")) or len(question.split()) < 2 or not answer:
            dropped.append(MALFORMED)
            continue
        answer = answer.strip("\"“”'").rstrip(".").strip()
        start = locate(answer, sentence)
        if start < 0:
            dropped.append(ANSWER_MISSING)
        elif len(answer) > 0.9 * len(sentence.rstrip(".!?")):
            dropped.append(WHOLE_SENTENCE)
        else:
            kept.append(Question(question, sentence[start:start + len(answer)], start))
    return Validated(tuple(kept) or None, tuple(dropped))


def locate(part: str, sentence: str) -> int:
    """Return where words stand in a sentence as whole words, whatever their case; -1 where they do not."""
    if not part:
        return -1
    edges = (r"(?<!\w)" if part[0].isalnum() else "", r"(?!\w)" if part[-1].isalnum() else "")
    words = r"\s+".join(map(re.escape, part.split()))
    found = re.search(f"{edges[0]}{words}{edges[1]}", sentence) or re.search(f"{edges[0]}{words}{edges[1]}", sentence, re.IGNORECASE)
    return found.start() if found else -1


def statistics_of(validated: Iterable[tuple[Behaviour, Validated]]) -> ValidationStatistics:
    """Return the counts over answers."""
    found = ValidationStatistics()
    for behaviour, each in validated:
        found.add(behaviour, each)
    return found
