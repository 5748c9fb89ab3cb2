"""Notes into documents: three streams at the level of paragraphs, in original order, and their controls.

    D_ORI = s1 s2 ...
    D_NER = s1 <sep> NER(s1) <sep> s2 <sep> NER(s2) ...
    D_QRA = s1 <sep> QRA(s1) <sep> s2 <sep> QRA(s2) ...
    D = D_ORI + D_NER + D_QRA,    L = -1/N sum_t log P(y_t | y_<t)

The mixing ratio is by number of paragraphs. Controls: FURTHER reads D_ORI alone, SHUFFLED the same notes behind other sentences.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence

from core.config import ReadingSpec
from core.data.tokenisation import Document, Span
from core.reading.notes import BEHAVIOURS, ReadParagraph


def documents(paragraphs: Sequence[ReadParagraph], spec: ReadingSpec, *, seed: int, begin: int | None = None,
              end: str = "") -> list[Document]:
    """Return the documents of all streams, shuffled.

    Args:
        seed: of the shuffled notes and of the order.
        begin, end: token that the tokenizer begins every text with, and text of the one that ends it.
    """
    rng = random.Random(f"streams/{seed}")
    made = [document for paragraph in _times(paragraphs, spec.original) for document in _original(paragraph, spec, begin, end)]
    if spec.notes != "none":
        for behaviour, times in zip(BEHAVIOURS, (spec.entities, spec.questions), strict=True):
            notes = [each.of(behaviour) for paragraph in paragraphs for each in paragraph.sentences]
            behind = _shuffled(notes, rng) if spec.notes == "shuffled" else notes
            for numbers, paragraph in _times(list(_numbered(paragraphs)), times):
                made += _noted(paragraph, [behind[number] for number in numbers], spec, begin, end)
    rng.shuffle(made)
    return made


def _times(paragraphs: Sequence, times: float) -> Iterator:
    """Yield everything as often as the whole part says, and of the rest that share which the fraction says, from the beginning."""
    whole, part = divmod(times, 1)
    for _ in range(int(whole)):
        yield from paragraphs
    yield from paragraphs[:round(part * len(paragraphs))]


def _numbered(paragraphs: Iterable[ReadParagraph]) -> Iterator[tuple[range, ReadParagraph]]:
    """Yield each paragraph with the numbers of its sentences in the whole text."""
    at = 0
    for paragraph in paragraphs:
        yield range(at, at + len(paragraph.sentences)), paragraph
        at += len(paragraph.sentences)


def _shuffled(notes: Sequence[str | None], rng: random.Random) -> list[str | None]:
    """Return the notes that are there, each behind another sentence than its own; sentences without notes stay without.

    A rotation by a random distance of the notes in random order: the same notes, hence the same tokens, and none at its place.
    """
    there = [number for number, note in enumerate(notes) if note is not None]
    order = list(there)
    rng.shuffle(order)
    behind: list[str | None] = [None] * len(notes)
    for number, source in zip(order, [*order[1:], *order[:1]], strict=True):
        behind[number] = notes[source]
    return behind


def _original(paragraph: ReadParagraph, spec: ReadingSpec, begin: int | None, end: str) -> Iterator[Document]:
    parts = [paragraph.text] if spec.unit == "paragraph" else [each.sentence for each in paragraph.sentences]
    for text in parts:
        yield Document(text + end, 1.0, (), begin)


def _noted(paragraph: ReadParagraph, notes: Sequence[str | None], spec: ReadingSpec, begin: int | None, end: str) -> Iterator[Document]:
    """Yield a paragraph, or each of its sentences, with notes; notes count 1, and the rest as `spec.loss_on` says."""
    pairs = list(zip((each.sentence for each in paragraph.sentences), notes, strict=True))
    for group in ([pairs] if spec.unit == "paragraph" else [[pair] for pair in pairs]):
        if all(note is None for _, note in group):
            continue  # what it holds is in D_ORI
        text, spans = "", []
        for sentence, note in group:
            text += sentence + spec.separator
            if note is not None:
                spans.append(Span(len(text), len(text) + len(note), 1.0))
                text += note + spec.separator
        everything = spec.loss_on == "all"
        yield Document(text.removesuffix(spec.separator) + end, float(everything), () if everything else tuple(spans), begin)
