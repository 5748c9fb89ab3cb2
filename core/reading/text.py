"""Plain text into paragraphs and sentences, as a reading teacher is shown them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from core.errors import DataError

# A sentence ends at these, with what closes a quotation behind them; what follows begins with a capital, a digit or a quotation.
END = re.compile(r"(?<=[.!?…])[\"'”’»)\]]*\s+(?=[\"'“‘«(\[]*[A-ZÀ-ÞΑ-ΩА-Я0-9])|(?<=[。！？])\s*")
ABBREVIATIONS = re.compile(r"(?:^|[\s(\"“])(?:Mr|Mrs|Ms|Dr|St|Prof|Jr|Sr|vs|etc|No|Vol|e\.g|i\.e|[A-Z])\.$")
BLANK = re.compile(r"\n\s*\n")


@dataclass(frozen=True, slots=True)
class Paragraph:
    """The sentences of a paragraph in their order, whatever their length."""

    sentences: tuple[str, ...]

    @property
    def text(self) -> str:
        """Return the paragraph as plain text."""
        return " ".join(self.sentences)


def paragraphs(texts: Iterable[str]) -> Iterator[Paragraph]:
    """Yield the paragraphs of texts, which blank lines separate; those without a word are left out."""
    for text in texts:
        for part in BLANK.split(text):
            found = tuple(sentences(part))
            if found:
                yield Paragraph(found)


def sentences(text: str) -> list[str]:
    """Return the sentences of a text with single spaces inside them; abbreviations and initials end none."""
    found: list[str] = []
    start, text = 0, " ".join(text.split())
    for end in END.finditer(text):
        # What closes a quotation belongs to the sentence, the space behind it to none.
        closed = end.start() + len(end.group().rstrip())
        if not ABBREVIATIONS.search(text[start:closed]):
            found.append(text[start:closed])
            start = end.end()
    found.append(text[start:])
    return [sentence for sentence in found if re.search(r"\w", sentence)]


def usable(sentence: str, shortest: int, longest: int) -> bool:
    """Return whether a sentence has between `shortest` and `longest` words."""
    return shortest <= len(sentence.split()) <= longest


def require_usable(found: Iterable[Paragraph], shortest: int, longest: int, origin: str) -> None:
    """Raise DataError where no sentence has a usable length; it says how long they are."""
    lengths = [len(sentence.split()) for paragraph in found for sentence in paragraph.sentences]
    if any(shortest <= length <= longest for length in lengths):
        return
    seen = f"Its {len(lengths):,} sentences have {min(lengths)} to {max(lengths)} words" if lengths else "It has no sentence"
    raise DataError(f"'{origin}' has no sentence that a reading teacher could be shown. {seen}.",
                    f"Sentences of {shortest} to {longest} words were expected; words are what spaces separate.",
                    "Choose another text, or another reading.shortest and reading.longest.", field="data.source")
