"""Errors with a field and a suggestion, and the way they take between processes."""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core import errors
from core.chains.folder import open_chain
from core.config import DataSpec
from core.config.fields import describe
from core.data import sources
from core.errors import (
    LONGEST_GIVEN,
    LONGEST_QUOTE,
    ConfigError,
    DataError,
    FetchModel,
    ModelNotFoundError,
    RunVerb,
    SetField,
    StillhouseError,
    about,
    shorten,
)
from core.models import catalog
from core.recipes import apply_overrides, parse_recipe, parse_yaml

CORE = Path(errors.__file__).parent


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    classes = [each for each in vars(errors).values() if inspect.isclass(each) and issubclass(each, StillhouseError)]
    lines = [line for line in errors.__doc__.splitlines() if "Error " in f"{line} " and line.startswith("    ")]
    assert [line.split("─")[-1].split()[0] for line in lines] == [each.__name__ for each in classes]
    depth = {each: len(each.__mro__) - len(StillhouseError.__mro__) for each in classes}
    assert [(len(line) - len(line.lstrip(" │├└─"))) // 4 - 1 for line in lines] == list(depth.values())


def test_core_names_no_option_of_the_command_line() -> None:
    """Each door has its own words for a setting: an option, a link, the label of a field."""
    found = [f"{path.relative_to(CORE)}:{number}" for path in CORE.rglob("*.py")
             for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1) if "--set" in line]
    assert not found


@pytest.mark.parametrize(("error", "says"), [
    (DataError("No column 'reviw'.", "There is: review.", "Choose it.", suggestion=SetField("data.column", "review", guess=True)),
     'No column \'reviw\'. There is: review. Did you mean data.column="review"?'),
    (DataError("No text.", "", "Stream it.", suggestion=SetField("data.streaming", True)), "No text. Stream it (data.streaming=true)."),
    (DataError("No text.", "", "Name the column.", field="data.column"), "No text. Name the column (data.column)."),
    (DataError("data.column is 'x'.", "", "Name another.", field="data.column"), "data.column is 'x'. Name another."),
    (ConfigError("Not here.", "", "Fetch it first.", suggestion=FetchModel("bert")), "Not here. Fetch it first."),
])
def test_an_error_names_its_key_once(error: StillhouseError, says: str) -> None:
    assert str(error) == says


@pytest.mark.parametrize("suggestion", [None, SetField("data.column", "review", guess=True), FetchModel("bert"), RunVerb("runs"),
                                        RunVerb("resume", "mine")])
def test_errors_cross_processes_whole(suggestion: SetField | FetchModel | RunVerb | None) -> None:
    error = ModelNotFoundError("a", "b", "c", field="teacher.model", suggestion=suggestion)
    again = StillhouseError.from_dict(json.loads(json.dumps(error.to_dict())))
    assert type(again) is ModelNotFoundError
    assert again.to_dict() == error.to_dict()


def test_names_of_release_0_1_0_are_read() -> None:
    assert type(StillhouseError.from_dict({"error": "ModelNotFoundError", "given": "a", "expected": "", "fix": ""})) is ModelNotFoundError


def test_an_error_of_the_application_is_read_as_the_root() -> None:
    from workbench.errors import RunNotFoundError

    assert type(StillhouseError.from_dict(RunNotFoundError("a").to_dict())) is StillhouseError


def test_a_suggestion_gives_the_field() -> None:
    assert DataError("a", suggestion=SetField("data.column", "x")).field == "data.column"
    assert DataError("a", field="data", suggestion=SetField("data.column", "x")).field == "data"


def named_keys() -> list[tuple[str, str]]:
    """Where the engine's code names a recipe's key as that of an error, and the key."""
    found = []
    for path in sorted(CORE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func)
            values = [each.value for each in node.keywords if each.arg == "field" and name.endswith("Error")]
            values += node.args[1:2] if name == "InvalidValueError" else node.args[:1] if name in ("SetField", "about") else []
            found += [(f"{path.name}:{node.lineno}", each.value) for each in values
                      if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    return found


def test_every_key_that_an_error_names_is_a_key_of_recipes():
    keys = named_keys()
    assert len(keys) > 50
    for where, key in keys:
        assert describe(key), where


def test_about_names_a_key_where_an_error_names_none():
    with pytest.raises(ModelNotFoundError) as caught, about("teacher.model"):
        raise ModelNotFoundError("There is no model 'x'.", "", "Choose another one.")
    assert caught.value.field == "teacher.model"
    assert str(caught.value) == "There is no model 'x'. Choose another one (teacher.model)."
    with pytest.raises(ConfigError) as caught, about("teacher.model"):
        raise ConfigError("a", field="data.source")
    assert caught.value.field == "data.source"
    with pytest.raises(ConfigError) as caught, about("teacher.model", ModelNotFoundError):
        raise ConfigError("a")
    assert caught.value.field is None


@given(st.text(), st.sampled_from(["The key was given as '{}'.", 'A file "{}" was named.', "{} is no number.", "Keys: {}, {}"]))
@example("x" * 5000, "The key was given as '{}'.")
@example("'" * 5000, "{} is no number.")
@example("a b " * 5000, "Keys: {}, {}")
def test_errors_quote_little(text: str, sentence: str) -> None:
    error = ConfigError(sentence.format(text, text), f"One of '{text}' was expected.", f"Write '{text}'.")
    assert len(error.given) <= LONGEST_GIVEN
    for part in (error.given, error.expected, error.fix):
        assert max(map(len, part.split())) <= LONGEST_QUOTE + 3  # with marks around it and a full stop behind
        assert not re.search(rf"(?<!\w)'[^']{{{LONGEST_QUOTE + 1},}}'(?!\w)", part)


DOORS: dict[str, Callable[[str], object]] = {
    "a value": lambda text: parse_recipe({"train": {"max_steps": text, "device": text}}),
    "a text": lambda text: parse_recipe({"name": text}),
    "a key": lambda text: parse_recipe({"train": {f"k{re.sub('[][()]', '', text)}": 1}}),
    "a section": lambda text: parse_recipe({f"k{re.sub('[][()]', '', text)}": {}}),
    "a kind": lambda text: parse_recipe({"kind": text}),
    "an override": lambda text: apply_overrides({}, [text]),
    "a recipe": lambda text: parse_recipe(parse_yaml(text, "uploaded.yaml")),
    "a file's name": lambda text: parse_yaml("{", text),
    "a model": catalog.describe,
    "a source": lambda text: sources.open_source(DataSpec(source=text)),
    "a chain": open_chain,
}


@pytest.mark.parametrize("door", DOORS)
@given(st.text(min_size=1, max_size=20), st.integers(300, 3000))
@example("it's so ", 3000)
@example("a b\n", 3000)
def test_what_comes_from_outside_is_quoted_in_part(door: str, text: str, length: int) -> None:
    text = (text * length)[:length]
    try:
        DOORS[door](text)
    except StillhouseError as error:
        said = str(error)
        assert not any(text[start:start + LONGEST_QUOTE + 1] in said for start in range(0, length - LONGEST_QUOTE, 20)), said
        assert len(said) < 3 * LONGEST_GIVEN


def test_a_short_error_stays_as_it_is_between_processes() -> None:
    error = ConfigError(f"The key was given as '{'x' * 5000}'.", f"One of '{'y' * 5000}' was expected.")
    assert str(ConfigError.from_dict(error.to_dict())) == str(error)


@given(st.text(min_size=0, max_size=300), st.integers(10, 250))
def test_shorten(text: str, most: int) -> None:
    short = shorten(text, most)
    assert len(short) <= most
    assert short == text if len(text) <= most else short[:most // 2] == text[:most // 2] and short[-1:] == text[-1:]


def test_short_sentences_stay() -> None:
    for given_sentence in ("The layer map was given as '1 2'.", f"'{'x' * LONGEST_QUOTE}'", "It isn't, and wasn't."):
        assert ConfigError(given_sentence).given == given_sentence


def test_halves_of_characters_are_written_as_escapes() -> None:
    """As in the names of files and columns; no terminal and no browser takes them."""
    error = ConfigError("'\ud800' is no \udcff.", "\ud83d was.", "Write it.")
    assert str(error) == "'\\ud800' is no \\udcff. \\ud83d was. Write it."
    assert ConfigError("'naïve 😀'").given == "'naïve 😀'"
