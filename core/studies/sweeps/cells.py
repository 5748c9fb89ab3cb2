"""What a sweep trains: each setting of its keys is a *cell*, and each cell is trained once a seed.

A grid has every combination of the values. Random search draws as many combinations as the budget allows, all of them different, which
finds good settings sooner where few of the keys matter (Bergstra and Bengio 2012, jmlr.org/papers/v13/bergstra12a).
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from core.config import ChainConfig, ExperimentConfig
from core.config.fields import has_key
from core.errors import ConfigError, StillhouseError
from core.recipes import apply_overrides, parse_recipe
from core.studies.sweeps.axes import Axis

Search = Literal["grid", "random"]
MOST_RUNS = 1000  # of one sweep; a mistyped grid is found out before it fills the queue
TRIES = 100  # draws for each cell of a random search before it has no new one left


@dataclass(frozen=True)
class SweepSpec:
    """What a sweep is, before anything is checked.

    Attributes:
        config: the recipe that all cells begin with.
        axes: the keys that vary; none where only the seed does.
        seeds: of each cell.
        search: every combination, or drawn ones.
        budget: cells of a random search; None for a grid.
    """

    config: ExperimentConfig
    axes: tuple[Axis, ...]
    seeds: tuple[int, ...]
    search: Search = "grid"
    budget: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, which `from_dict` reads."""
        return {"recipe": self.config.to_dict(), "axes": [axis.to_dict() for axis in self.axes], "seeds": list(self.seeds),
                "search": self.search, "budget": self.budget}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> SweepSpec:
        """Return the sweep of which `to_dict` made plain data. Raises ConfigError for a recipe that this release does not read."""
        return cls(parse_recipe(plain["recipe"]), tuple(map(Axis.from_dict, plain["axes"])), tuple(plain["seeds"]), plain["search"],
                   plain["budget"])


@dataclass(frozen=True)
class Cell:
    """One setting.

    Attributes:
        number: from 1, in the order in which the cells are made.
        overrides: ``key=value`` for each axis.
        config: the whole recipe; None where it cannot be one.
        error: why not.
    """

    number: int
    overrides: tuple[str, ...]
    config: ExperimentConfig | None = None
    error: ConfigError | None = None

    @property
    def label(self) -> str:
        """How messages and tables call it."""
        return ", ".join(self.overrides) or "the recipe as it is"

    @property
    def values(self) -> dict[str, str]:
        """Key -> value, as it was given."""
        return dict(override.partition("=")[::2] for override in self.overrides)


def seeds_from(first: int, count: int) -> tuple[int, ...]:
    """Return the recipe's own seed and those after it. Raises ConfigError for less than one, or beyond the largest seed."""
    if count < 1:
        raise ConfigError(f"{count} seeds were requested.", "1 or more were expected; fewer than 3 say little about chance.",
                          "Request 3 or 5.")
    if first + count > 2**32:
        raise ConfigError(f"{count} seeds from {first} on were requested.", "Seeds lie below 4294967296.", "Begin with a lower seed.",
                          field="train.seed")
    return tuple(range(first, first + count))


def cells_of(spec: SweepSpec) -> list[Cell]:
    """Return the cells of a sweep, those included that cannot be trained, each with why.

    Raises:
        ConfigError: a key that recipes have not, a search that does not fit its axes or budget, two cells that are the same setting,
            more than `MOST_RUNS` runs, or a kind of experiment without one student.
    """
    if isinstance(spec.config, ChainConfig):
        raise ConfigError("The recipe builds a chain.", "A recipe of one student was expected: a chain has no single result to compare.",
                          "Sweep a distillation, as assets/recipes/quickstart.yaml.")
    for axis in spec.axes:
        _require_key(spec.config, axis)
    if spec.search == "random":
        combinations = list(_drawn(spec))
    else:
        if spec.budget is not None:
            raise ConfigError(f"A budget of {spec.budget} was given to a grid.", "A grid has every combination of its values.",
                              "Search at random, or leave the budget out.")
        if wide := next((axis for axis in spec.axes if axis.is_range), None):
            raise ConfigError(f"{wide} is a range.", "A grid has listed values; ranges are for random search.",
                              "List values, or search at random with a budget.", field=wide.key)
        _require_few(len(spec.seeds), *(len(axis.values) for axis in spec.axes))
        combinations = [tuple(f"{axis.key}={value}" for axis, value in zip(spec.axes, values, strict=True))
                        for values in itertools.product(*(axis.values for axis in spec.axes))]
    cells = [_cell(spec.config, number, overrides) for number, overrides in enumerate(combinations, start=1)]
    _require_different(cells)
    return cells


def require_all(cells: Sequence[Cell], errors: Mapping[int, StillhouseError]) -> None:
    """Raise ConfigError that names the cells that cannot be trained, and why the first of them cannot.

    Args:
        errors: number of a cell -> what is wrong with it.
    """
    if not errors:
        return
    wrong = [cell for cell in cells if cell.number in errors]
    first = errors[wrong[0].number]
    if len(wrong) == len(cells) and all(str(error) == str(first) for error in errors.values()):
        raise first  # the recipe itself cannot be trained, whatever its settings
    others = f" The others: {'; '.join(cell.label for cell in wrong[1:])}." if len(wrong) > 1 else ""
    raise ConfigError(f"{len(wrong)} of {len(cells)} settings cannot be trained. {wrong[0].label}: {first.given}",
                      f"{first.expected}{others}".strip(), first.advice, field=first.field)


def _require_key(config: ExperimentConfig, axis: Axis) -> None:
    if has_key(axis.key):
        return
    parse_recipe(apply_overrides(config.to_dict(), [f"{axis.key}={axis.values[0] if axis.values else axis.low}"]))
    raise ConfigError(f"Unknown key '{axis.key}'.", "A key of recipes was expected, as losses.temperature.", "", field=axis.key)


def _drawn(spec: SweepSpec) -> Iterator[tuple[str, ...]]:
    """Yield combinations at random, none twice; the same ones for the same recipe, axes and budget."""
    if spec.budget is None or spec.budget < 1:
        raise ConfigError(f"A budget of {spec.budget} was given.", "Random search needs the number of settings to draw, 1 or more.",
                          "For example: --random 8")
    if not spec.axes:
        raise ConfigError("A random search without a key was requested.", "At least one key with its values was expected.",
                          "For example: --grid losses.temperature=1..8")
    _require_few(len(spec.seeds), spec.budget)
    source, seen = random.Random(spec.config.train.seed), set[tuple[str, ...]]()
    for _ in range(spec.budget):
        for _ in range(TRIES):
            drawn = tuple(f"{axis.key}={axis.draw(source)}" for axis in spec.axes)
            if drawn not in seen:
                break
        else:
            raise ConfigError(f"{spec.budget} different settings were requested, and the values give {len(seen)}.",
                              "A budget of at most as many settings as there are was expected.",
                              f"Lower it to {len(seen)}, or search the grid.")
        seen.add(drawn)
        yield drawn


def _require_few(*counts: int) -> None:
    runs = 1
    for count in counts:
        runs *= count
    if runs > MOST_RUNS:
        raise ConfigError(f"{runs:,} runs were requested.", f"A sweep has at most {MOST_RUNS:,}.",
                          "List fewer values or seeds, or draw some of them at random.")


def _cell(config: ExperimentConfig, number: int, overrides: tuple[str, ...]) -> Cell:
    try:
        return Cell(number, overrides, parse_recipe(apply_overrides(config.to_dict(), overrides)))
    except ConfigError as error:
        return Cell(number, overrides, error=error)


def _require_different(cells: Sequence[Cell]) -> None:
    seen: dict[str, Cell] = {}
    for cell in cells:
        if cell.config is None:
            continue
        same = seen.setdefault(cell.config.digest(), cell)
        if same is not cell:
            raise ConfigError(f"'{same.label}' and '{cell.label}' are the same setting.", "Every setting of a sweep is trained once.",
                              "Remove one of the two.")


def typed(text: str) -> Any:
    """Return a cell's value as a number where it is one, else as the text that it is; for tables and figures."""
    try:
        return json.loads(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            return text

