"""YAML and JSON by strangers: plain data, or one kind of error with the place."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from core.system import plain_data
from core.system.plain_data import PlainDataError, parse_json, parse_yaml

WRONG = {  # text -> what is said, line, column
    "a: &x 1\nb: *x": ("'x' is an anchor", 1, 4),
    "&a [*a]": ("'a' is an anchor", 1, 1),
    "b: [1, *x]": ("'x' is an alias", 1, 8),
    "a: !!python/object/apply:os.system [x]": ("the tag 'python/object/apply:os.system' is not read", 1, 4),
    "a: !!set {x}": ("the tag 'set' is not read", 1, 4),
    "a: 1\nb: !mine 2": ("the tag '!mine' is not read", 2, 4),
    "a: !!int abc": ("'abc' is no value of the type 'int'", 1, 4),
    "a: 0b_": ("'0b_' is no value of the type 'int'", 1, 4),
    "a: !!bool 7": ("'7' is no value of the type 'bool'", 1, 4),
    "a: !!float ''": ("'' is no value of the type 'float'", 1, 4),
    "a: !!map [1]": ("keys and values were expected", 1, 4),
    'a: "\\UFFFFFFFF"': ("an escaped character that does not exist", 1, 7),
    'a: "\\ud83d"': ("half of an escaped character", 1, 4),
    'a: "\\0"': ("U+0000", 1, 4),
    "a: 1\nb: \0": ("U+0000", 2, 4),
    "a: " + "9" * 5000: ("a number of 5,000 characters", 1, 4),
    "a: 1:" + ":".join(["59"] * 200): ("a number of 601 characters", 1, 4),
    "~: 1": ("'~' stands as a key", 1, 1),
    "{a: {1: 2}}": ("'1' stands as a key", 1, 6),
    "[1]: 2": ("a list or a section stands as a key", 1, 1),
    "a: 1\na: 2": ("the key 'a' is there twice", 2, 1),
    "a:\n\tb: 1": ("'\\t'", 2, 1),
    "a: 1\n---\nb: 2": ("another document", 2, 1),
    "a: " + "[" * 5000: ("nested too deeply", 1, 24),
    "a: b: c": ("mapping values are not allowed", 1, 5),
}


@pytest.mark.parametrize("text", WRONG, ids=lambda text: repr(text[:24]))
def test_what_is_no_plain_data_is_refused_with_its_place(text: str):
    says, line, column = WRONG[text]
    with pytest.raises(PlainDataError) as caught:
        parse_yaml(text)
    assert says in caught.value.problem
    assert (caught.value.line, caught.value.column) == (line, column)
    assert caught.value.place == f" at line {line}, column {column}"


@pytest.mark.parametrize(("text", "value"), [
    ("2026-02-31", "2026-02-31"), ("2026-01-01: 1", {"2026-01-01": 1}), ("<<: {a: 1}", {"<<": {"a": 1}}), ("=", "="), ("5e-4", 5e-4),
    ("!!str 12", "12"), ("\ufeffa: yes", {"a": True}), ('"\\ud83d\\ude00"', "😀"), ("", None), ("0x1F", 31)])
def test_dates_merges_and_escapes_are_text(text: str, value: object):
    assert parse_yaml(text) == value


def test_what_an_alias_would_repeat_is_never_made():
    """Each level repeats the one before nine times: 9^12 values."""
    levels = [f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefghijkl", "bcdefghijklm", strict=True)]
    text = "\n".join(["a: &a [x]", *levels])
    with pytest.raises(PlainDataError, match="'a' is an anchor"):
        parse_yaml(text)


def test_size_is_bounded_in_characters_and_in_values(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(plain_data, "MAX_CHARACTERS", 40)
    monkeypatch.setattr(plain_data, "MAX_NODES", 8)
    assert parse_yaml("[1, 2, 3, 4, 5, 6, 7]") == [1, 2, 3, 4, 5, 6, 7]
    with pytest.raises(PlainDataError, match="more than 8 values"):
        parse_yaml("[1, 2, 3, 4, 5, 6, 7, 8]")
    with pytest.raises(PlainDataError, match="41 characters"):
        parse_yaml("x" * 41)


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
SCALARS = st.none() | st.booleans() | st.integers(-2**63, 2**63) | st.floats(allow_nan=False) | TEXT
PLAIN = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8)


@given(PLAIN)
def test_what_the_library_writes_is_read_back(value: object):
    assert parse_yaml(yaml.safe_dump(value)) == value
    assert parse_json(json.dumps(value)) == value


@given(st.text("a1_-:[]{}&*!?|>'\"%@#,. \n\t\\0xUe~=<", max_size=40))
def test_any_text_is_plain_data_or_refused(text: str):
    try:
        mine = parse_yaml(text)
    except PlainDataError:
        return
    # What is accepted means the same to the library, but for numbers as 5e-4, dates, and signs of YAML 1.1.
    if not any(part in text for part in ("e", "-", "=", "<<")):
        assert mine == yaml.safe_load(text)


@pytest.mark.parametrize(("text", "says", "line"), [
    ("{", "expecting property name", 1), ("[" * 100_000, "nested too deeply", None), ("1" * 5000, "too many digits", None),
    (b"\xff", "UTF-8", None), ("[1,\n2", "delimiter", 2)])
def test_json_that_cannot_be_read_is_refused_with_its_place(text: str | bytes, says: str, line: int | None):
    with pytest.raises(PlainDataError, match=says) as caught:
        parse_json(text)
    assert caught.value.line == line


def test_json_is_bounded_before_it_is_read():
    assert parse_json("[1, 2, 3]", 3) == [1, 2, 3]
    with pytest.raises(PlainDataError, match="some 4 values"):
        parse_json("[1, 2, [3]]", 3)
