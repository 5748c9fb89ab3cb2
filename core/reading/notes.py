"""What a reading teacher notes of a sentence, and how notes read as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

Behaviour = Literal["entities", "questions"]
BEHAVIOURS: tuple[Behaviour, ...] = ("entities", "questions")
ENTITIES, QUESTION, ANSWER = "Entities:", "Question:", "Answer:"
NONE = "none"


@dataclass(frozen=True, slots=True)
class Entity:
    """A named entity of a sentence.

    Attributes:
        text: as the sentence has it.
        type: as person or place.
        note: short description; may be empty.
        start: where it stands in the sentence, in characters; -1 before it was located.
    """

    text: str
    type: str
    note: str = ""
    start: int = -1

    def __str__(self) -> str:
        return f"{self.text} ({self.type})" + (f": {self.note}" if self.note else "")


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a sentence, and its answer, which the sentence holds.

    Attributes:
        start: where the answer stands in the sentence, in characters; -1 before it was located.
    """

    question: str
    answer: str
    start: int = -1

    def __str__(self) -> str:
        return f"{QUESTION} {self.question} {ANSWER} {self.answer}"


@dataclass(frozen=True, slots=True)
class SentenceNotes:
    """A sentence with its notes. None stands for notes that were not taken, or that were dropped.

    Attributes:
        entities: empty where the sentence has none.
    """

    sentence: str
    entities: tuple[Entity, ...] | None = None
    questions: tuple[Question, ...] | None = None

    def of(self, behaviour: Behaviour) -> str | None:
        """Return the notes of a behaviour as one line of text; None where there are none."""
        if behaviour == "entities":
            return None if self.entities is None else f"{ENTITIES} {'; '.join(map(str, self.entities)) or NONE}"
        return " ".join(map(str, self.questions)) if self.questions else None

    def without(self, behaviour: Behaviour) -> SentenceNotes:
        """Return the same sentence without the notes of a behaviour."""
        return replace(self, entities=None) if behaviour == "entities" else replace(self, questions=None)


@dataclass(frozen=True, slots=True)
class ReadParagraph:
    """A paragraph's sentences with their notes, in order."""

    sentences: tuple[SentenceNotes, ...]

    @property
    def text(self) -> str:
        """Return the paragraph without notes."""
        return " ".join(each.sentence for each in self.sentences)


def noted(paragraphs: Sequence[ReadParagraph], behaviour: Behaviour) -> int:
    """Return the number of sentences that have notes of a behaviour."""
    return sum(each.of(behaviour) is not None for paragraph in paragraphs for each in paragraph.sentences)
