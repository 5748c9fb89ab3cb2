"""Streams: order, separator, where the loss counts, the mixing ratio, and controls with the same tokens."""

from __future__ import annotations

from collections import Counter

import pytest

from core.config import ReadingSpec
from core.reading.notes import Entity, Question, ReadParagraph, SentenceNotes
from core.reading.oracle import oracle_paragraphs
from core.reading.streams import documents

FIRST = SentenceNotes("Ann left Rome.", (Entity("Ann", "person", "left"),), (Question("Who left?", "Ann"),))
SECOND = SentenceNotes("Nobody came.", ())
PARAGRAPH = ReadParagraph((FIRST, SECOND, SentenceNotes("Oh.")))


def texts(paragraphs, **spec) -> list[str]:
    return sorted(document.text for document in documents(paragraphs, ReadingSpec(**spec), seed=0))


def test_three_streams_of_a_paragraph_in_its_order() -> None:
    assert texts([PARAGRAPH]) == sorted([
        "Ann left Rome. Nobody came. Oh.",
        "Ann left Rome.\nEntities: Ann (person): left\nNobody came.\nEntities: none\nOh.",
        "Ann left Rome.\nQuestion: Who left? Answer: Ann\nNobody came.\nOh."])


def test_sentences_by_themselves_and_another_separator() -> None:
    assert texts([PARAGRAPH], unit="sentence", separator=" | ", original=0, questions=0) == [
        "Ann left Rome. | Entities: Ann (person): left", "Nobody came. | Entities: none"]


def test_the_loss_counts_on_everything_or_on_notes() -> None:
    everything, = documents([PARAGRAPH], ReadingSpec(original=0, entities=0), seed=0)
    notes, = documents([PARAGRAPH], ReadingSpec(original=0, entities=0, loss_on="notes"), seed=0)
    assert everything.weight == 1 and not everything.spans and notes.weight == 0
    assert [notes.text[span.start:span.end] for span in notes.spans] == ["Question: Who left? Answer: Ann"]
    original, = documents([PARAGRAPH], ReadingSpec(entities=0, questions=0, loss_on="notes"), seed=0)
    assert original.weight == 1, "original text always counts"


@pytest.mark.parametrize(("times", "count"), [(0.0, 0), (0.5, 5), (1.0, 10), (2.5, 25)])
def test_the_mix_is_by_paragraphs(times: float, count: int) -> None:
    found = documents(list(oracle_paragraphs(10, 0)), ReadingSpec(entities=times), seed=0)
    assert sum("Entities:" in each.text for each in found) == count and len(found) == 20 + count


def test_shuffled_notes_are_the_same_notes_behind_other_sentences() -> None:
    paragraphs = list(oracle_paragraphs(40, 0))
    own, shuffled = (documents(paragraphs, ReadingSpec(notes=notes, original=0), seed=3) for notes in ("own", "shuffled"))

    def lines(found) -> Counter[str]:
        return Counter(line for each in found for line in each.text.split("\n"))

    assert lines(own) == lines(shuffled) and {each.text for each in own} != {each.text for each in shuffled}
    behind = {(before, line) for each in shuffled for before, line in zip(each.text.split("\n"), each.text.split("\n")[1:], strict=False)}
    right = [(each.sentence, each.of("questions")) for paragraph in paragraphs for each in paragraph.sentences if each.questions]
    assert sum(pair in behind for pair in right) < 0.05 * len(right), "equal notes of equal sentences may meet again"


def test_further_training_reads_the_text_alone() -> None:
    assert texts([PARAGRAPH], notes="none") == ["Ann left Rome. Nobody came. Oh."]


def test_edges_of_texts_are_the_tokenizers() -> None:
    found = documents([PARAGRAPH], ReadingSpec(), seed=0, begin=7, end="<e>")
    assert all(each.begin == 7 and each.text.endswith("<e>") for each in found)
