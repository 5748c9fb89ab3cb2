"""Keys of a recipe with the values that a sweep gives them, as people write them: ``losses.temperature=1,2,4``.

    losses.temperature=1,2,4             values, each as a recipe is changed by hand; commas inside brackets and quotes part nothing
    train.learning_rate=1e-4..1e-2:log   a range to draw from at random, on a logarithmic scale
    student.hidden=64..256               a range; drawn are whole numbers where both ends are
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from core import recipe_keys
from core.errors import ConfigError, SetField

SEED = "train.seed"
BETWEEN, LOGARITHMIC = "..", ":log"
OPENING, CLOSING, QUOTES = "[{(", "]})", "\"'"
DIGITS = 4  # significant digits of a number that is drawn from a range: readable, and far finer than any seed's noise


@dataclass(frozen=True, slots=True)
class Axis:
    """One key and what it takes.

    Attributes:
        key: dotted, under today's name.
        values: texts, as they are written; none where it is a range.
        low, high: ends of a range, both included.
        logarithmic: whether a range is drawn from evenly in its logarithm.
        whole: whether a range holds whole numbers alone.
    """

    key: str
    values: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    logarithmic: bool = False
    whole: bool = False

    @property
    def is_range(self) -> bool:
        """Whether values are drawn from between two ends."""
        return not self.values

    def draw(self, source: random.Random) -> str:
        """Return a value at random, as text."""
        if self.values:
            return source.choice(self.values)
        if self.whole and not self.logarithmic:
            return str(source.randint(int(self.low), int(self.high)))
        low, high = (math.log(self.low), math.log(self.high)) if self.logarithmic else (self.low, self.high)
        drawn = source.uniform(low, high)
        value = min(max(math.exp(drawn) if self.logarithmic else drawn, self.low), self.high)
        return str(round(value)) if self.whole else f"{value:.{DIGITS}g}"

    def __str__(self) -> str:
        if self.values:
            return f"{self.key}={','.join(self.values)}"
        ends = (f"{int(end)}" if self.whole else f"{end:g}" for end in (self.low, self.high))
        return f"{self.key}={BETWEEN.join(ends)}{LOGARITHMIC if self.logarithmic else ''}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, from which `parse_axis` makes an equal axis."""
        return {"key": self.key, "text": str(self).partition("=")[2]}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Axis:
        """Return the axis of which `to_dict` made plain data."""
        return parse_axis(f"{plain['key']}={plain['text']}")


def parse_axis(text: str) -> Axis:
    """Return the axis that a text describes.

    Raises:
        ConfigError: no key, no value, an empty value, a range whose ends cannot be ones.
    """
    key, separator, given = text.partition("=")
    key, given = recipe_keys.today(key.strip()), given.strip()
    if not separator or not key or not given:
        raise ConfigError(f"The grid '{text}' was given.", "'section.key=value,value' was expected.",
                          "Name the key and its values, as losses.temperature=1,2,4.")
    if key == SEED:
        raise ConfigError(f"The grid '{text}' was given.", "Seeds are counted, and no axis of a sweep: results are means over them.",
                          "Say how many, as --seeds 3.", field=SEED)
    if BETWEEN in given and given[0] not in OPENING + QUOTES:
        return _range(key, given)
    values = tuple(part.strip() for part in split(given))
    if not all(values):
        raise ConfigError(f"{key} was given the values '{given}'.", "A value on each side of every comma was expected.",
                          "Remove the comma that is too many.", field=key)
    if twice := next((value for number, value in enumerate(values) if value in values[:number]), None):
        raise ConfigError(f"{key} was given {twice} twice.", "Each value of an axis is tried once.", "Remove one of the two.", field=key)
    return Axis(key, values)


def parse_axes(texts: Iterator[str] | list[str] | tuple[str, ...]) -> tuple[Axis, ...]:
    """Return the axes of several texts. Raises ConfigError as `parse_axis`, and for a key that is there twice."""
    axes = tuple(map(parse_axis, texts))
    keys = [axis.key for axis in axes]
    if twice := next((key for number, key in enumerate(keys) if key in keys[:number]), None):
        raise ConfigError(f"{twice} was given two grids.", "One with all its values was expected.", "Join the two.", field=twice)
    return axes


def split(text: str) -> list[str]:
    """Return the parts of a text between its commas; those inside brackets, braces and quotes part nothing."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if letter == "," and not depth and not quote:
            parts.append("")
            continue
        if quote:
            quote = "" if letter == quote else quote
        elif letter in QUOTES:
            quote = letter
        else:
            depth = max(0, depth + (letter in OPENING) - (letter in CLOSING))
        parts[-1] += letter
    return parts


def _range(key: str, text: str) -> Axis:
    ends, logarithmic = text.removesuffix(LOGARITHMIC), text.endswith(LOGARITHMIC)
    first, _, last = ends.partition(BETWEEN)
    try:
        low, high = float(first), float(last)
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError
    except ValueError as error:
        raise ConfigError(f"{key} was given the range '{text}'.", "Two numbers with two dots between them were expected.",
                          "For example: 1e-4..1e-2:log", field=key) from error
    if low >= high:
        raise ConfigError(f"{key} was given the range '{text}'.", "A low end and a higher one were expected.", "Swap the two.",
                          suggestion=SetField(key, f"{last}{BETWEEN}{first}"))
    if logarithmic and low <= 0:
        raise ConfigError(f"{key} was given the range '{text}'.", "The low end of a logarithmic range is above 0.",
                          "Raise it, or leave :log out.", field=key)
    whole = all(part.strip().lstrip("+-").isdigit() for part in (first, last))
    return Axis(key, (), low, high, logarithmic, whole)
