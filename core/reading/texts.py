"""The plain text of a data source, for a reading teacher. Needs no torch, so that a page can show it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from core.config import DataSpec
from core.data import movie_reviews, sources
from core.data.tokenizers import texts
from core.reading.text import Paragraph, paragraphs

TEXT_SEED = 0  # of the order of the house corpus; the seed of a run is that of its training


def text_paragraphs(data: DataSpec, split: Literal["train", "validation"]) -> Iterator[Paragraph]:
    """Yield the paragraphs of one side of ``data.source``, read as plain text; the same ones whatever a run's seed."""
    if data.source == movie_reviews.HOUSE:
        return paragraphs(texts(movie_reviews.texts(split, seed=TEXT_SEED)))
    return paragraphs(texts(sources.rows(data, split)))
