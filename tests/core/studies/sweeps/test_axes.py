"""What people write as a grid, and what it is read as."""

from __future__ import annotations

import math
import random

import pytest

from core.errors import ConfigError
from core.recipe_keys import RENAMED
from core.studies.sweeps.axes import Axis, parse_axes, parse_axis


@pytest.mark.parametrize(("text", "values"), [
    ("losses.temperature=1,2,4", ("1", "2", "4")),
    ("student.layer_map=[0, 3],[1, 2]", ("[0, 3]", "[1, 2]")),
    ("losses.w_kd={start: 1, end: 0}, 0.5", ("{start: 1, end: 0}", "0.5")),
    ('data.column="a,b",text', ('"a,b"', "text")),
    ("student.layers=4", ("4",)),
])
def test_values_stand_between_commas_outside_brackets_and_quotes(text: str, values: tuple[str, ...]) -> None:
    assert parse_axis(text).values == values


@pytest.mark.parametrize(("text", "said"), [
    ("losses.temperature", "'section.key=value,value' was expected"), ("=1,2", "was expected"), ("losses.temperature=", "was expected"),
    ("losses.temperature=1,,2", "on each side of every comma"), ("losses.temperature=1,2,1", "1 twice"),
    ("train.seed=1,2", "Seeds are counted"), ("train.learning_rate=1e-4..x", "Two numbers"), ("train.learning_rate=1..inf", "Two numbers"),
    ("train.learning_rate=1e-2..1e-4", "A low end and a higher one"), ("train.learning_rate=0..1:log", "above 0"),
])
def test_what_is_no_axis_is_refused_with_what_was_expected(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_axis(text)


def test_one_key_has_one_axis() -> None:
    with pytest.raises(ConfigError, match=r"losses.temperature was given two grids"):
        parse_axes(["losses.temperature=1", "losses.temperature=2"])


def test_a_key_of_release_0_1_0_gets_todays_name() -> None:
    old, new = next(iter(RENAMED.items()))
    assert parse_axis(f"{old}=1,2").key == new


@pytest.mark.parametrize("text", ["losses.temperature=1,2", "student.hidden=64..256", "train.learning_rate=0.0001..0.01:log"])
def test_an_axis_is_read_back_from_its_plain_data(text: str) -> None:
    assert Axis.from_dict(parse_axis(text).to_dict()) == parse_axis(text)


def test_draws_from_a_range_stay_in_it_and_are_even_on_its_scale() -> None:
    source, rates = random.Random(0), parse_axis("train.learning_rate=1e-4..1e-2:log")
    drawn = [float(rates.draw(source)) for _ in range(2000)]
    assert min(drawn) >= 1e-4
    assert max(drawn) <= 1e-2
    assert sum(value < 1e-3 for value in drawn) / len(drawn) == pytest.approx(0.5, abs=0.05)  # its middle on a logarithmic scale
    widths = {parse_axis("student.hidden=2..4").draw(source) for _ in range(100)}
    assert widths == {"2", "3", "4"}
    even = [float(parse_axis("losses.temperature=1..3.0").draw(source)) for _ in range(2000)]
    assert math.fsum(even) / len(even) == pytest.approx(2.0, abs=0.1)
