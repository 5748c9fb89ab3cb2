"""Where plain text is divided."""

import textwrap
from io import StringIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data.documents import LONGEST, Division, cut_near, division, documents, pieces


def read(text: str) -> list[str]:
    return list(documents(StringIO(text)))


def test_blank_lines_separate_documents_whatever_their_white_space() -> None:
    assert read("\n\none\ntwo\n \t\n\nthree\n\n") == ["one\ntwo", "three"]


def test_long_lines_without_a_blank_line_are_documents() -> None:
    lines = ["a" * 90, "b" * 100, "c" * 110]
    assert read("\n".join(lines)) == lines
    assert read("\n".join(lines) + "\n") == lines


PROSE = ("the quiet river holds a small lamp near the bridge and nobody knows who lit it, although many people of the town wonder. "
         "It was there before the mill was built. Some say that it will be there when the mill is gone, and some say nothing. ") * 40


@pytest.mark.parametrize("width", [60, 72, 80])
def test_wrapped_prose_is_one_document_at_any_usual_width(width) -> None:
    text = textwrap.fill(PROSE, width)
    assert "\n\n" not in text
    assert division(text) is Division.WHOLE
    assert division(f"{text}\n\nThe end.") is Division.BLANK_LINES


@pytest.mark.parametrize("line", [
    lambda n: f"short line {n} about the river 😀", lambda n: f"安静的河流在桥边缓缓流过，第{n}号花园。", lambda n: f"النهر الهادئ {n}",
    lambda n: f"The {'very ' * (n % 5)}quiet river holds lamp number {n}.", lambda n: f"INFO {n:06d} the river" + " and wide" * (n % 4),
    lambda n: "x" * (20 + n * 7 % 90), lambda n: f"{n}"])
def test_short_lines_without_a_blank_line_are_documents(line) -> None:
    lines = [line(number) for number in range(300)]
    assert division("\n".join(lines)) is Division.LINES
    assert read("\n".join(lines)) == lines


def test_wrapped_prose_without_a_blank_line_is_one_document() -> None:
    text = "\n".join(["word " * 14 + "end"] * 5)
    assert read(text) == [text]


def test_a_long_first_line_alone_is_one_document() -> None:
    assert read("x" * 500) == ["x" * 500]


def test_a_file_of_white_space_holds_no_document() -> None:
    assert read(" \n\n \n") == []


def test_a_huge_line_comes_in_pieces_and_loses_nothing() -> None:
    text = "One sentence of some length. " * 5000
    found = read(text)
    assert all(len(document) <= LONGEST for document in found)
    assert " ".join(found) == text.strip()
    assert all(document.endswith(".") for document in found)


def test_huge_lines_that_are_documents_stay_apart_and_keep_their_words_whole() -> None:
    found = read("alpha " * LONGEST + "\n" + "omega " * LONGEST + "\n")
    assert {frozenset(document.split()) for document in found} == {frozenset({"alpha"}), frozenset({"omega"})}


def test_a_huge_document_of_short_lines_is_cut_between_lines() -> None:
    line = "a line of wrapped prose that is as long as all of the others, and more follow"
    found = read("\n".join([line] * 3000))
    assert 20 < len(found) < 100
    assert "\n".join(found).split("\n") == [line] * 3000


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(["word ", "\n", "\n\n", ". ", "x" * 3000, "。"]), max_size=60).map("".join))
def test_pieces_join_to_the_whole_and_stay_short(text: str) -> None:
    parts = list(pieces(text))
    assert "".join(parts) == text
    assert all(len(part) <= LONGEST for part in parts)


@settings(deadline=None)
@given(st.text(min_size=2), st.floats(0.001, 0.999))
def test_a_cut_leaves_something_on_both_sides_near_its_aim(text: str, share: float) -> None:
    at = cut_near(text, share)
    assert 0 < at < len(text)
    assert abs(at - share * len(text)) <= len(text) * min(share, 1 - share) / 4 + 3


def test_a_cut_falls_between_sentences_where_one_ends_nearby() -> None:
    assert PROSE[:cut_near(PROSE, 0.95)].endswith(". ")


def test_pieces_end_at_a_paragraph_first() -> None:
    text = "a. " * 2000 + "\n\n" + "b. " * 3000
    assert next(pieces(text)).endswith("\n\n")
