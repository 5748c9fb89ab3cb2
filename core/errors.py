"""Every error that a user can cause or must act on.

    StillhouseError
    ├── ConfigError                   a recipe or an option: unknown key, wrong type, value out of range
    ├── ModelError                    a model reference that cannot be used
    │   ├── ModelNotFoundError        no model of that name, folder or id
    │   ├── CorruptModelError         files missing, truncated or not what they claim to be
    │   ├── UnsafeModelError          needs pickle or remote code, which are never read
    │   ├── UnsupportedModelError     an architecture that is not described in `core.models.architectures`
    │   └── ExportError               it cannot be written in the requested format
    ├── CompatibilityError            two models that cannot be distilled or compared
    ├── DataError                     a dataset that cannot be read or holds too little
    ├── CorruptSignalsError           kept answers of a teacher that are damaged, or another's
    ├── TeacherServerError            a teacher's server that is not there, or whose answers cannot be used
    ├── DeviceError                   a device that is not there
    ├── NetworkError                  a download that failed
    └── RunError                      a run that failed during training or evaluation
        ├── NonFiniteLossError        the loss became NaN or infinite
        ├── OutOfMemoryError          the device or the machine ran out of memory
        └── DiskFullError             the disk is full

The application adds its own branches under the same root (see `workbench.errors`).

An error names the recipe's key that it is about (`field`) and, where one is known, what would put it right (`suggestion`). It says
nothing of command lines or widgets: the terminal shows the option that sets the key, the form the label of the field.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class SetField:
    """Suggests a value for a key of the recipe.

    Attributes:
        field: dotted path, as ``data.column``.
        value: plain data; an example where `guess` is false.
        guess: whether it is what was probably meant, as the nearest name to a misspelt one.
    """

    field: str
    value: Any
    guess: bool = False


@dataclass(frozen=True, slots=True)
class FetchModel:
    """Suggests to download a model first.

    Attributes:
        model: reference, as a name of the catalogue.
    """

    model: str


@dataclass(frozen=True, slots=True)
class RunVerb:
    """Suggests a verb of the command line, which pages have buttons for.

    Attributes:
        verb: as ``resume``.
        subject: what it is about, as a run's name; empty for none.
    """

    verb: str
    subject: str = ""


Suggestion = SetField | FetchModel | RunVerb


LONGEST_QUOTE = 200  # characters of what was given
LONGEST_GIVEN = 300  # characters of the sentence that quotes it
# Words may be longer by the marks around a quotation and what follows it, so that a sentence that was cut stays as it is.
LONG = re.compile(rf"(?<!\w)'[^']{{{LONGEST_QUOTE + 1},}}'(?!\w)|\"[^\"]{{{LONGEST_QUOTE + 1},}}\"|\S{{{LONGEST_QUOTE + 4},}}")


def shorten(text: str, most: int = LONGEST_QUOTE) -> str:
    """Return `text` in at most so many characters: where it is longer, its beginning and its end."""
    return text if len(text) <= most else f"{text[:most - most // 3]}…{text[len(text) + 1 - most // 3:]}"


def _short_quotes(sentence: str) -> str:
    """Return a sentence with its long quotations cut, and long words outside them."""
    def cut(found: re.Match[str]) -> str:
        long, mark = found[0], found[0][0]
        return f"{mark}{shorten(long[1:-1])}{mark}" if mark in "'\"" and long[-1] == mark else shorten(long)

    return LONG.sub(cut, sentence) if len(sentence) > LONGEST_QUOTE else sentence


def _writable(text: str) -> str:
    """Return a text as every terminal and browser takes it: halves of characters, as in names of files, become their escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


class StillhouseError(Exception):
    """A mistake or a condition that the user can do something about.

    What its sentences quote is cut to `LONGEST_QUOTE` characters, whoever made them.

    Args:
        given: what was passed or what happened, as one sentence.
        expected: what would have been right, as one sentence; may be empty.
        fix: what to do now, as one sentence; may be empty.
        field: dotted path of the recipe's key that it is about, or of a section, where there is one.
        suggestion: what would put it right, where that is known.
    """

    exit_code = 2

    def __init__(self, given: str, expected: str = "", fix: str = "", *, field: str | None = None,
                 suggestion: Suggestion | None = None) -> None:
        given, expected, fix = map(_writable, (given, expected, fix))
        self.given, self.expected, self.fix = shorten(_short_quotes(given), LONGEST_GIVEN), _short_quotes(expected), _short_quotes(fix)
        self.suggestion = suggestion
        self.field = suggestion.field if field is None and isinstance(suggestion, SetField) else field
        super().__init__(self.given, self.expected, self.fix)

    def __str__(self) -> str:
        return " ".join(part for part in (self.given, self.expected, self.advice) if part)

    @property
    def advice(self) -> str:
        """What to do now, with the recipe's key where `fix` does not name it."""
        return advice(self.fix, self.field, self.suggestion, f"{self.given} {self.expected}")

    def to_dict(self) -> dict[str, Any]:
        """Return the error as plain data, which `from_dict` reads."""
        return {"error": type(self).__name__, "given": self.given, "expected": self.expected, "fix": self.fix, "field": self.field,
                "suggestion": self.suggestion and asdict(self.suggestion)}

    @staticmethod
    def from_dict(plain: Mapping[str, Any]) -> StillhouseError:
        """Return the error that `to_dict` wrote; an error of the application becomes a `StillhouseError`."""
        kind = next((each for each in _classes(StillhouseError)
                     if each.__module__ == __name__ and each.__name__ in (plain["error"], f"{plain['error']}Error")),
                    StillhouseError)
        return kind(plain["given"], plain["expected"], plain["fix"], field=plain.get("field"),
                    suggestion=read_suggestion(plain.get("suggestion")))


@contextmanager
def about(field: str, *kinds: type[StillhouseError]) -> Iterator[None]:
    """Name the recipe's key that errors are about which are raised inside and name none.

    Args:
        kinds: of errors (default: all).
    """
    try:
        yield
    except StillhouseError as error:
        if not kinds or isinstance(error, kinds):
            error.field = error.field or field
        raise


def advice(fix: str, field: str | None, suggestion: Suggestion | None, said: str = "") -> str:
    """Return `fix` with the key and the value that it is about, in the words of a recipe.

    Args:
        said: what stands before it; a key that is named there is not repeated.
    """
    if isinstance(suggestion, SetField):
        setting = f"{suggestion.field}={json.dumps(suggestion.value, ensure_ascii=False)}"
        if suggestion.guess:
            return f"Did you mean {setting}?"
        return f"{fix.rstrip('.')} ({setting})." if fix else f"Set {setting}."
    return f"{fix.rstrip('.')} ({field})." if fix and field and field not in f"{said} {fix}" else fix


def read_suggestion(plain: Mapping[str, Any] | None) -> Suggestion | None:
    """Return the suggestion of which `dataclasses.asdict` made plain data."""
    if plain is None:
        return None
    return SetField(**plain) if "field" in plain else RunVerb(**plain) if "verb" in plain else FetchModel(**plain)


def _classes(root: type[StillhouseError]) -> list[type[StillhouseError]]:
    return [root, *(each for child in root.__subclasses__() for each in _classes(child))]


class ConfigError(StillhouseError):
    """A recipe or an option that says something impossible."""


class ModelError(StillhouseError):
    """A model reference that cannot be used."""


class ModelNotFoundError(ModelError):
    """No model of that name, folder or id."""


class CorruptModelError(ModelError):
    """The files are missing, truncated or not what they claim to be."""


class UnsafeModelError(ModelError):
    """The model needs pickle or remote code, which are never read."""


class UnsupportedModelError(ModelError):
    """An architecture that is not described in `core.models.architectures`."""


class ExportError(ModelError):
    """The model cannot be written in the requested format."""


class CompatibilityError(StillhouseError):
    """Two models that cannot be distilled or compared."""


class DataError(StillhouseError):
    """A dataset that cannot be read or holds too little."""


class CorruptSignalsError(StillhouseError):
    """Kept answers of a teacher that are damaged, incomplete or another teacher's."""


class TeacherServerError(StillhouseError):
    """A teacher's server that cannot be reached, refuses, or gives answers that cannot be used."""


class DeviceError(StillhouseError):
    """A device that is not there."""


class NetworkError(StillhouseError):
    """A download that failed."""


class RunError(StillhouseError):
    """A run that failed during training or evaluation; the command line exits with 1, not 2."""

    exit_code = 1


class NonFiniteLossError(RunError):
    """The loss became NaN or infinite."""


class OutOfMemoryError(RunError):
    """The device or the machine ran out of memory."""


class DiskFullError(RunError):
    """The disk is full."""
