"""Items that a reader is scored on: a prompt, candidates, and which of them is right."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Item:
    """A question with candidates for its answer.

    Attributes:
        prompt: what the model reads.
        candidates: texts that may follow, each with the space in front of it.
        right: number of the right one.
    """

    prompt: str
    candidates: tuple[str, ...]
    right: int


@dataclass(frozen=True, slots=True)
class ReadingTask:
    """A task that no student is trained on.

    Attributes:
        dropped: items that were left out because they share words with what is trained on.
    """

    name: str
    items: tuple[Item, ...]
    dropped: int = 0

    @property
    def chance(self) -> float:
        """Return the accuracy of a guess, 0 to 1."""
        return sum(1 / len(item.candidates) for item in self.items) / len(self.items)
