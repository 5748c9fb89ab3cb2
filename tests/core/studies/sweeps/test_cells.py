"""Which settings a sweep has, and which of them cannot be recipes."""

from __future__ import annotations

import re

import pytest

from core.errors import ConfigError
from core.recipes import parse_recipe
from core.studies.sweeps.axes import parse_axes
from core.studies.sweeps.cells import MOST_RUNS, Search, SweepSpec, cells_of, require_all, seeds_from, typed

BASE = {"name": "base", "student": {"layers": 2}}


def spec(*axes: str, seeds: int = 2, search: Search = "grid", budget: int | None = None) -> SweepSpec:
    return SweepSpec(parse_recipe(BASE), parse_axes(axes), seeds_from(42, seeds), search, budget)


def test_a_grid_has_every_combination() -> None:
    cells = cells_of(spec("losses.temperature=1,2", "student.layers=2,4"))
    assert [cell.label for cell in cells] == [f"losses.temperature={t}, student.layers={n}" for t in (1, 2) for n in (2, 4)]
    assert [(cell.config.losses.temperature, cell.config.student.layers) for cell in cells if cell.config] == [
        (1, 2), (1, 4), (2, 2), (2, 4)]
    assert cells[1].values == {"losses.temperature": "1", "student.layers": "4"}


def test_without_an_axis_there_is_the_recipe_itself() -> None:
    (cell,) = cells_of(spec())
    assert cell.config == parse_recipe(BASE)
    assert cell.values == {}


def test_random_search_draws_different_settings_the_same_ones_every_time() -> None:
    wanted = spec("losses.temperature=1,2,4,8", "train.learning_rate=1e-4..1e-2:log", search="random", budget=12)
    labels = [cell.label for cell in cells_of(wanted)]
    assert len(set(labels)) == 12
    assert labels == [cell.label for cell in cells_of(wanted)]


@pytest.mark.parametrize(("wanted", "said"), [
    (spec("losses.temprature=1,2"), "Unknown key 'losses.temprature'.*Did you mean 'losses.temperature'"),
    (spec("no_such_section.key=1"), "Unknown key"),
    (spec("losses.temperature=1..4"), "A grid has listed values"),
    (spec("losses.temperature=1,2", budget=2), "A grid has every combination"),
    (spec("losses.temperature=1,2", search="random"), "needs the number of settings"),
    (spec(search="random", budget=2), "without a key"),
    (spec("losses.temperature=1,2", search="random", budget=3), "the values give 2"),
    (spec("losses.temperature=1,1.0"), "are the same setting"),
    (spec("losses.temperature=1,2", seeds=MOST_RUNS), "2,000 runs were requested"),
])
def test_a_sweep_that_cannot_be_one_is_refused(wanted: SweepSpec, said: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        cells_of(wanted)
    assert re.search(said, str(refusal.value))


def test_a_chain_has_no_single_result() -> None:
    chain = parse_recipe({"teacher": {"model": "house-chat"}, "chain": {"anchors": [{"layers": 4}]}})
    with pytest.raises(ConfigError, match="builds a chain"):
        cells_of(SweepSpec(chain, (), (42,)))


def test_a_value_out_of_range_in_one_setting_is_named() -> None:
    cells = cells_of(spec("losses.temperature=1,-1", "student.layers=2,4"))
    errors = {cell.number: cell.error for cell in cells if cell.error}
    assert set(errors) == {3, 4}
    with pytest.raises(ConfigError) as refusal:
        require_all(cells, errors)
    text = str(refusal.value)
    assert "2 of 4 settings cannot be trained" in text
    assert "losses.temperature=-1, student.layers=2: losses.temperature was given as -1. A number above 0 was expected." in text
    assert "losses.temperature=-1, student.layers=4" in text


def test_what_is_wrong_with_the_recipe_itself_is_said_of_no_setting() -> None:
    cells = cells_of(spec("losses.temperature=1,2"))
    with pytest.raises(ConfigError) as refusal:
        require_all(cells, {number: ConfigError("There is no model 'gone'.") for number in (1, 2)})
    assert str(refusal.value) == "There is no model 'gone'."


def test_seeds_begin_with_the_recipes_own() -> None:
    assert seeds_from(7, 3) == (7, 8, 9)
    for first, count in ((42, 0), (2**32 - 1, 2)):
        with pytest.raises(ConfigError, match="seeds"):
            seeds_from(first, count)


def test_a_spec_is_read_back_from_its_plain_data() -> None:
    wanted = spec("losses.temperature=1..4", search="random", budget=2)
    assert SweepSpec.from_dict(wanted.to_dict()) == wanted


@pytest.mark.parametrize(("text", "value"), [("4", 4), ("0.5", 0.5), ("1e-3", 0.001), ("importance", "importance"), ("[0, 3]", [0, 3])])
def test_values_are_numbers_where_they_can_be(text: str, value: object) -> None:
    assert typed(text) == value
