"""Text into sentences: abbreviations, quotations, scripts; and text without a usable one."""

from __future__ import annotations

import pytest

from core.errors import DataError
from core.reading.text import Paragraph, paragraphs, require_usable, sentences, usable


@pytest.mark.parametrize(("text", "expected"), [
    ("One here. Two there!  Three?", ["One here.", "Two there!", "Three?"]),
    ("Mr. Bell met Dr. A. Stone. They left.", ["Mr. Bell met Dr. A. Stone.", "They left."]),
    ('He said "Go." Then he left.', ['He said "Go."', "Then he left."]),
    ("It cost 3.50 in all. 12 came.", ["It cost 3.50 in all.", "12 came."]),
    ("no capital follows. here either", ["no capital follows. here either"]),
    ("電影很好。我喜歡。", ["電影很好。", "我喜歡。"]),
    ("A line\nthat was wrapped. Next.", ["A line that was wrapped.", "Next."]),
    ("...  \n ", [])])
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_blank_lines_separate_paragraphs_and_sentences_keep_their_order() -> None:
    found = list(paragraphs(["One. Two.\n\nThree.", "\n\n", "Four."]))
    assert [each.sentences for each in found] == [("One.", "Two."), ("Three.",), ("Four.",)] and found[0].text == "One. Two."


def test_length_counts_words() -> None:
    assert usable("one two three", 3, 40) and not usable("one two", 3, 40) and not usable("one two three", 1, 2)


def test_text_without_a_usable_sentence_is_refused_with_its_lengths() -> None:
    require_usable([Paragraph(("a b c.",))], 3, 40, "x")
    with pytest.raises(DataError, match="2 sentences have 1 to 2 words") as refused:
        require_usable([Paragraph(("a.", "b c."))], 3, 40, "x")
    assert refused.value.field == "data.source"
