"""Where plain text is divided."""

from io import StringIO

from hypothesis import given, settings
from hypothesis import strategies as st

from core.data.documents import LONGEST, documents, pieces


def read(text: str) -> list[str]:
    return list(documents(StringIO(text)))


def test_blank_lines_separate_documents_whatever_their_white_space() -> None:
    assert read("\n\none\ntwo\n \t\n\nthree\n\n") == ["one\ntwo", "three"]


def test_long_lines_without_a_blank_line_are_documents() -> None:
    lines = ["a" * 90, "b" * 100, "c" * 110]
    assert read("\n".join(lines)) == lines
    assert read("\n".join(lines) + "\n") == lines


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
    line = "short line of a poem without end"
    found = read("\n".join([line] * 3000))
    assert len(found) > 5
    assert "\n".join(found).split("\n") == [line] * 3000


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(["word ", "\n", "\n\n", ". ", "x" * 3000, "。"]), max_size=60).map("".join))
def test_pieces_join_to_the_whole_and_stay_short(text: str) -> None:
    parts = list(pieces(text))
    assert "".join(parts) == text
    assert all(len(part) <= LONGEST for part in parts)


def test_pieces_end_at_a_paragraph_first() -> None:
    text = "a. " * 2000 + "\n\n" + "b. " * 3000
    assert next(pieces(text)).endswith("\n\n")
