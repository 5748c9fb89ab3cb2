"""Items that share a run of words with what is trained on (n-grams as in GPT-3's appendix C, 2005.14165)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from core.reading.items import Item


def words(text: str) -> list[str]:
    """Return the words of a text in lower case, without punctuation."""
    return re.findall(r"\w+", text.lower())


def ngrams(text: str, n: int) -> Iterator[tuple[str, ...]]:
    """Yield every run of `n` words."""
    found = words(text)
    yield from (tuple(found[start:start + n]) for start in range(len(found) - n + 1))


def clean(items: Sequence[Item], trained_on: Iterable[str], n: int) -> list[Item]:
    """Return the items without those whose prompt and right answer share `n` words in a row with what is trained on (0: all)."""
    if not n:
        return list(items)
    wanted = {gram for item in items for gram in _of(item, n)}
    seen = {gram for text in trained_on for gram in ngrams(text, n) if gram in wanted}
    return [item for item in items if not seen.intersection(_of(item, n))]


def _of(item: Item, n: int) -> Iterator[tuple[str, ...]]:
    return ngrams(item.prompt + item.candidates[item.right], n)
