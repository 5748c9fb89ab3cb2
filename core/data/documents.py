"""Plain text into documents: where one ends, and where a very long one may be cut."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from functools import partial
from itertools import pairwise
from typing import TextIO

LONGEST = 8192  # characters; some two thousand tokens: many training blocks, and little to hold in memory
NARROWEST = 50  # characters; lines of wrapped prose are about as long as each other, and at least this long
WRAPPED = 80  # characters; lines of wrapped prose stay below on average, lines that are documents of their own need not
PROBE = 1 << 20  # characters that decide how the rest of a file is read
SEPARATORS = ("\n\n", "\n", ". ", "。", " ")  # the end of a paragraph, a line, a sentence or a word
ENDS = tuple(".!?…。！？؟।:")  # of sentences


class Division(Enum):
    """How a text file is divided into documents, as a part of a sentence."""

    BLANK_LINES = "blank lines separate its texts"
    LINES = "each of its lines is a text"
    WHOLE = "the whole file is one text"


def documents(file: TextIO) -> Iterator[str]:
    """Yield the documents of a text file, read a little at a time.

    `division` says how. Documents longer than `LONGEST` come in pieces.
    """
    by_line = division(file.read(PROBE)) is Division.LINES
    file.seek(0)
    gathered = ""
    for line in iter(partial(file.readline, LONGEST), ""):  # a line may be as long as the file
        gathered += line
        if len(gathered) > 2 * LONGEST:
            *complete, gathered = pieces(gathered)
            yield from _without_blank(complete)
        if not line.strip() or (by_line and line.endswith("\n")):
            yield from _without_blank(pieces(gathered))
            gathered = ""
    yield from _without_blank(pieces(gathered))


def pieces(text: str) -> Iterator[str]:
    """Yield `text` in parts of at most `LONGEST` characters that join to the whole.

    It is cut at the end of a paragraph, a line, a sentence or a word, in this order of preference.
    """
    start = 0
    while len(text) - start > LONGEST:
        end = _cut(text, start)
        yield text[start:end]
        start = end
    yield text[start:]


def cut_near(text: str, share: float) -> int:
    """Return where to cut a text so that about `share` of it (0-1) stands in front, and something on both sides."""
    aim = min(max(1, round(len(text) * share)), len(text) - 1)
    reach = round(len(text) * min(share, 1 - share) / 4)
    for separator in SEPARATORS:
        found = text.rfind(separator, max(aim - reach, 0), aim), text.find(separator, aim, min(aim + reach, len(text) - 1))
        places = [place + len(separator) for place in found if place >= 0]
        if places:
            return min(places, key=lambda place: abs(place - aim))
    return aim


def _cut(text: str, start: int) -> int:
    for separator in SEPARATORS:
        found = text.rfind(separator, start + LONGEST // 2, start + LONGEST)
        if found >= 0:
            return found + len(separator)
    return start + LONGEST


def _without_blank(parts: list[str] | Iterator[str]) -> Iterator[str]:
    return filter(None, (part.strip() for part in parts))


def division(beginning: str) -> Division:
    """Return how a file is divided that begins with these characters.

    Blank lines separate documents. Without any, lines are documents unless they look like prose that was wrapped at a width: most of
    them have no room for the first word of the next one, and most do not end where a sentence does.
    """
    lines = beginning.strip().split("\n")
    if len(lines) == 1:
        return Division.WHOLE
    if not all(line.strip() for line in lines):
        return Division.BLANK_LINES
    lines = [line.rstrip() for line in lines]
    lengths = sorted(map(len, lines))
    width = lengths[len(lengths) * 98 // 100]  # a few lines may stand out, as addresses do
    if sum(lengths) / len(lengths) > WRAPPED or width < NARROWEST:
        return Division.LINES
    full = sum(len(line) + _next_word(following) > width for line, following in pairwise(lines)) / (len(lines) - 1)
    ended = sum(line.rstrip("\"'”’»)]").endswith(ENDS) for line in lines) / len(lines)
    return Division.WHOLE if full > 0.6 and ended < 0.5 else Division.LINES


def _next_word(line: str) -> int:
    """Return how many characters the beginning of a line would have needed on the line before; scripts without spaces break anywhere."""
    word = line.lstrip().split(" ", 1)[0]
    return 1 if len(word) > NARROWEST // 2 else len(word) + 1
