"""Plain text into documents: where one ends, and where a very long one may be cut."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TextIO

LONGEST = 8192  # characters; some two thousand tokens: many training blocks, and little to hold in memory
WRAPPED = 80  # characters; lines of wrapped prose stay below, lines that are documents of their own do not
PROBE = 1 << 20  # characters that decide how the rest of a file is read


def documents(file: TextIO) -> Iterator[str]:
    """Yield the documents of a text file, read a little at a time.

    Blank lines separate documents. A file that begins with a million characters and no blank line is read line by line
    when its lines are long (more than 80 characters on average), and is one document otherwise. Documents longer than
    `LONGEST` come in pieces.
    """
    by_line = _lines_are_documents(file.read(PROBE))
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


def _cut(text: str, start: int) -> int:
    for separator in ("\n\n", "\n", ". ", "。", " "):
        found = text.rfind(separator, start + LONGEST // 2, start + LONGEST)
        if found >= 0:
            return found + len(separator)
    return start + LONGEST


def _without_blank(parts: list[str] | Iterator[str]) -> Iterator[str]:
    return filter(None, (part.strip() for part in parts))


def _lines_are_documents(beginning: str) -> bool:
    lines = beginning.strip().split("\n")
    return all(line.strip() for line in lines) and len(lines) > 1 and len(beginning) / len(lines) > WRAPPED
