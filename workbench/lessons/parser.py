"""Read a lesson: Markdown with live blocks becomes a `Lesson`, or an error that names the line and what is allowed there."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.config.sentences import sentence
from core.errors import StillhouseError
from core.system import plain_data
from core.system.plain_data import PlainDataError
from workbench.errors import LessonError
from workbench.lessons.blocks import BLOCKS, Block, Compare, Figure, Placed, Question, Recipe, Slider, Steps, Text

FENCE = re.compile(r"^(`{3,}|~{3,})\s*([^\s`]*)\s*$")
LARGEST = 1 << 18  # bytes of a lesson
SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}")


class Head(BaseModel):
    """What stands between two lines ``---`` at the top of a lesson."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = Field(min_length=1, max_length=80, description="text")
    summary: str = Field("", max_length=240, description="text; one sentence on the card")
    minutes: int = Field(10, ge=1, le=180, description="number; reading and running it")
    order: float = Field(100.0, description="number; lessons are listed by it")


@dataclass(frozen=True, slots=True)
class Lesson:
    """A lesson.

    Attributes:
        slug: its file's name without ``.md``; part of its address.
        head: title, summary, minutes, order.
        parts: texts and live blocks, in the order of the file.
        path: its file.
    """

    slug: str
    head: Head
    parts: tuple[Text | Placed, ...]
    path: Path

    @property
    def title(self) -> str:
        """Return the lesson's title."""
        return self.head.title

    def of(self, kind: type[Block]) -> list[Any]:
        """Return the live blocks of a kind, in their order."""
        return [part.block for part in self.parts if isinstance(part, Placed) and isinstance(part.block, kind)]


def read_lesson(path: Path) -> Lesson:
    """Read a lesson's file.

    Raises:
        LessonError: it cannot be read, or something in it is wrong; the message names the line.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise LessonError(f"{path.name} is {path.stat().st_size:,} bytes long.", f"A lesson has at most {LARGEST:,}.")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else (error.strerror or "cannot be read").lower()
        raise LessonError(f"The lesson {path.name} cannot be read: {reason}.", "A Markdown file was expected.") from error
    if not SLUG.fullmatch(path.stem):
        raise LessonError(f"The lesson's file is called '{path.name}'.",
                          "Small letters, digits, - and _ were expected, as in my-lesson.md.")
    return parse_lesson(text, path)


def parse_lesson(text: str, path: Path) -> Lesson:
    """Return the lesson of a text. Raises LessonError."""
    lines = text.splitlines()
    head, start = _head(lines, path.name)
    lesson = Lesson(path.stem, head, tuple(_parts(lines, start, path.name)), path)
    _check_names(lesson)
    return lesson


def _head(lines: list[str], name: str) -> tuple[Head, int]:
    if not lines or lines[0].strip() != "---":
        raise _error(name, 1, "The lesson has no head.", "A line ---, then title: and the like, then a line --- was expected.",
                     "Keys there: " + ", ".join(Head.model_fields) + ".")
    end = next((number for number, line in enumerate(lines[1:], 1) if line.strip() == "---"), None)
    if end is None:
        raise _error(name, 1, "The head of the lesson does not end.", "A second line --- was expected.")
    return _validated(Head, lines[1:end], name, 2, "the head"), end + 1


def _parts(lines: list[str], start: int, name: str) -> Iterator[Text | Placed]:
    words: list[str] = []
    at = start
    while at < len(lines):
        fence = FENCE.match(lines[at])
        if not fence:
            words.append(lines[at])
            at += 1
            continue
        end = next((number for number in range(at + 1, len(lines)) if lines[number].strip() == fence[1]), None)
        if end is None:
            raise _error(name, at + 1, "A fenced block begins here and does not end.", f"A line {fence[1]} was expected.")
        kind = fence[2].lower()
        if kind in BLOCKS:
            if any(line.strip() for line in words):
                yield Text("\n".join(words).strip("\n"))
            words = []
            yield Placed(_validated(BLOCKS[kind], lines[at + 1:end], name, at + 2, f"a {kind} block"), at + 1)
        else:
            near = difflib.get_close_matches(kind, BLOCKS, n=1, cutoff=0.75) if kind else []
            if near:
                raise _error(name, at + 1, f"A block is called '{kind}'.", f"Live blocks are: {', '.join(BLOCKS)}.",
                             f"Did you mean '{near[0]}'?")
            words += lines[at:end + 1]
        at = end + 1
    if any(line.strip() for line in words):
        yield Text("\n".join(words).strip("\n"))


def _validated(kind: type[Any], lines: list[str], name: str, first: int, what: str) -> Any:
    """Return a value of the YAML in `lines`, the first of which is line `first` of the file."""
    fields = kind.model_fields
    allowed = f"Keys of {what}: {', '.join(fields)}."
    try:
        plain = plain_data.parse_yaml("\n".join(lines)) if any(line.strip() for line in lines) else {}
    except PlainDataError as error:
        raise _error(name, first - 1 + (error.line or 1), f"This is not YAML: {error.problem}.",
                     "Keys and values were expected, as in 'name: dark'.", "Put text with a colon or a quote in quotes.") from error
    if not isinstance(plain, dict):
        raise _error(name, first, f"{what[0].upper()}{what[1:]} holds {type(plain).__name__}.", allowed)
    try:
        return kind.model_validate(plain)
    except ValidationError as error:
        details = error.errors()
        detail = next((each for each in details if each["type"] == "extra_forbidden"), details[0])  # a misspelt key is also a missing one
        path = [str(part) for part in detail["loc"] if part not in ("float", "str", "int")]
        key = path[0] if path else ""
        line = next((number for number, text in enumerate(lines, first) if re.match(rf"\s*['\"]?{re.escape(key)}['\"]?\s*:", text)),
                    first) if key else first
        if detail["type"] == "extra_forbidden":
            section = fields[key].annotation if key in fields and len(path) > 1 else kind
            known = list(getattr(section, "model_fields", fields)) or list(fields)
            if key in fields and len(path) > 1:
                known = list(BLOCK_SECTIONS.get(key, fields))
            near = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.5)
            place = "there" if len(path) > 1 else f"of {what}"
            raise _error(name, line, f"Unknown key '{path[-1]}'.", f"Keys {place}: {', '.join(known)}.",
                         f"Did you mean '{near[0]}'?" if near else "") from error
        if detail["type"] == "missing":
            meaning = fields[key].description if key in fields else ""
            raise _error(name, first, f"{what[0].upper()}{what[1:]} has no '{'.'.join(path)}'.", allowed,
                         f"{key}: {meaning}." if meaning else "") from error
        given = f"{'.'.join(path)} was given as {detail['input']!r}." if key else f"{what[0].upper()}{what[1:]} cannot be used."
        meaning = f"{key}: {fields[key].description}." if key in fields and fields[key].description else ""
        raise _error(name, line, given, _expected(detail), meaning) from error


def _expected(detail: Any) -> str:
    """Return what pydantic found as a sentence."""
    if detail["type"] == "string_pattern_mismatch":
        return "A name of letters, digits, - and _ was expected, beginning with a letter."
    return sentence(detail)


def _check_names(lesson: Lesson) -> None:
    """Raise LessonError where a block refers to something that the lesson does not have, or two have one name."""
    name = lesson.path.name
    seen: dict[str, int] = {}
    sliders: set[str] = set()
    recipes, questions = {block.name for block in lesson.of(Recipe)}, {block.name for block in lesson.of(Question)}
    for part in lesson.parts:
        if not isinstance(part, Placed):
            continue
        block, line = part.block, part.line
        own = getattr(block, "name", None) if isinstance(block, (Slider, Question, Recipe)) else None
        if own is not None:
            if own in seen:
                raise _error(name, line, f"The name '{own}' is used a second time.", f"Line {seen[own]} has it.")
            seen[own] = line
        if isinstance(block, Slider):
            sliders.add(block.name)
        for used in _references(block):
            known = recipes if isinstance(block, Compare) else sliders
            if used not in known:
                kind = "recipe" if isinstance(block, Compare) else "slider above it"
                raise _error(name, line, f"${used} is used.",
                             f"Names of a {kind} were expected: {', '.join(sorted(known)) or 'there is none'}.")
        if isinstance(block, Question) and block.outcome is not None and block.outcome.recipe not in recipes:
            raise _error(name, line, f"The outcome names the recipe '{block.outcome.recipe}'.",
                         f"Recipes of this lesson: {', '.join(sorted(recipes)) or 'there is none'}.")
        if isinstance(block, Steps) and block.recipe not in recipes:
            raise _error(name, line, f"The steps are of the recipe '{block.recipe}'.",
                         f"Recipes of this lesson: {', '.join(sorted(recipes)) or 'there is none'}.")
        for wanted in block.after if isinstance(block, Recipe) else ():
            if wanted not in questions:
                raise _error(name, line, f"after names the question '{wanted}'.",
                             f"Questions of this lesson: {', '.join(sorted(questions)) or 'there is none'}.")


def _references(block: Block) -> set[str]:
    """Return the names that a block refers to by ``$name``."""
    if isinstance(block, Figure):
        values: list[Any] = [block.temperature, block.student_layers]
    elif isinstance(block, Recipe):
        values = [*block.set.values(), *(value for changes in block.runs.values() for value in changes.values())]
    elif isinstance(block, Compare):
        values = list(block.models)
    else:
        values = []
    return {value[1:] for value in values if isinstance(value, str) and value.startswith("$")}


def _error(name: str, line: int, given: str, expected: str, fix: str = "") -> StillhouseError:
    return LessonError(f"{name}, line {line}: {given}", expected, fix)


BLOCK_SECTIONS: dict[str, tuple[str, ...]] = {"outcome": ("recipe", "metric", "subject", "best", "margin")}
