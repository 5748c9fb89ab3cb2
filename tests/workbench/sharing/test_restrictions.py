"""What an instructor's link fixes is checked where a run starts."""

from __future__ import annotations

import pytest

from core.config import ExperimentConfig
from core.errors import StillhouseError
from core.recipes import apply_overrides, parse_recipe, read_recipe
from core.system.paths import ASSETS
from workbench.sharing import restrictions
from workbench.sharing.restrictions import Restrictions

QUICKSTART = read_recipe(ASSETS / "recipes" / "quickstart.yaml")
FIXED = Restrictions(("T", "layers"), ("Models", "advanced"), 150, 4)


def changed(*changes: str) -> ExperimentConfig:
    return parse_recipe(apply_overrides(QUICKSTART.to_dict(), changes))


def test_they_come_back_from_an_address():
    assert restrictions.from_query(FIXED.to_query()) == FIXED
    assert not restrictions.from_query({}) and FIXED
    assert FIXED.paths == ("losses.temperature", "student.layers")


@pytest.mark.parametrize("query", [{"lock": "speed"}, {"hide": "Home"}, {"most_steps": "many"}, {"most_layers": "0"}])
def test_what_cannot_be_fixed_is_an_error(query: dict[str, str]):
    with pytest.raises(StillhouseError, match="The link says"):
        restrictions.from_query(query)


def test_what_keeps_within_them_passes():
    restrictions.check(QUICKSTART, FIXED, QUICKSTART)
    restrictions.check(changed("train.learning_rate=0.01"), FIXED, QUICKSTART)


@pytest.mark.parametrize(("change", "field"), [("losses.temperature=3", "losses.temperature"), ("student.layers=2", "student.layers"),
                                               ("train.max_steps=151", "train.max_steps"), ("train.max_steps=null", "train.max_steps")])
def test_what_does_not_is_refused_with_its_field(change: str, field: str):
    with pytest.raises(StillhouseError) as raised:
        restrictions.check(changed(change), FIXED, QUICKSTART)
    assert raised.value.field == field


@pytest.mark.parametrize(("change", "depth"), [("student.layers=null", None), ("student.layers=5", 5),
                                               ("student.layer_map=[0,1,2,3,4]", 5)])
def test_the_cap_of_blocks_counts_however_they_are_given(change: str, depth: int | None):
    config = changed(change) if "map" not in change else changed("student.layers=null", change)
    assert restrictions.depth_of(config) == depth
    with pytest.raises(StillhouseError, match="At most 4"):
        restrictions.check(config, Restrictions(most_layers=4))
