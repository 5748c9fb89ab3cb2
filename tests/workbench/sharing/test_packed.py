"""Recipes in addresses: what a link holds opens again, and a link that is cut, changed or too long says so."""

from __future__ import annotations

import base64
import random
import string
import zlib
from typing import Any

import pytest

from core.errors import StillhouseError
from core.recipes import parse_recipe, read_recipe
from core.system.paths import ASSETS
from workbench.sharing import packed

QUICKSTART = read_recipe(ASSETS / "recipes" / "quickstart.yaml")


@pytest.mark.parametrize("name", ["quickstart", "smoke", "distilbert", "house-base", "house-bridge"])
def test_a_link_opens_exactly_what_was_shared(name: str):
    config = read_recipe(ASSETS / "recipes" / f"{name}.yaml")
    query = packed.to_query(config)
    assert packed.is_link(query)
    found = packed.from_query(query)
    assert found == config and found.digest() == config.digest()


def test_main_settings_can_be_read_in_it():
    assert {"teacher": "house-chat", "layers": "4", "T": "2.0", "steps": "150"}.items() <= packed.to_query(QUICKSTART).items()


@pytest.mark.parametrize("changes", [{"student": {"layer_map": [0, 3, 5]}}, {"losses": {"w_kd": {"start": 0, "end": 1}}},
                                     {"evaluation": {"prompts": ["ä “quoted” \\ & = ?"]}}, {"train": {"max_steps": None}}])
def test_values_of_every_shape_come_back(changes: dict[str, Any]):
    config = parse_recipe(changes)
    assert packed.from_query(packed.to_query(config)) == config


def test_a_changed_setting_is_noticed_and_opens_without_the_checksum():
    query = packed.to_query(QUICKSTART) | {"T": "5"}
    with pytest.raises(StillhouseError, match="checksum") as raised:
        packed.from_query(query)
    assert "remove 'c=" in str(raised.value)
    del query["c"]
    assert packed.from_query(query).losses.temperature == 5


@pytest.mark.parametrize("text", ["x", "%%%", "eNoDAAAAAAE", "a" * 400])
def test_a_damaged_link_says_so(text: str):
    with pytest.raises(StillhouseError, match="link"):
        packed.from_query(packed.to_query(QUICKSTART) | {"r": text})


def test_a_cut_link_says_so():
    query = packed.to_query(QUICKSTART)
    with pytest.raises(StillhouseError, match=r"cut|damaged"):
        packed.from_query(query | {"r": query["r"][:-20]})


def test_a_small_link_cannot_unpack_to_gigabytes():
    bomb = base64.urlsafe_b64encode(zlib.compress(b'{"a": "' + b"x" * 3_000_000 + b'"}')).decode()
    assert len(bomb) < packed.LONGEST
    with pytest.raises(StillhouseError, match="too long"):
        packed.from_query({"r": bomb})


def test_too_long_links_are_refused_on_both_sides():
    drawn = random.Random(0)
    prompts = ["".join(drawn.choices(string.ascii_letters, k=800)) for _ in range(20)]
    with pytest.raises(StillhouseError, match="characters"):
        packed.to_query(parse_recipe({"evaluation": {"prompts": prompts}}))
    with pytest.raises(StillhouseError, match="characters"):
        packed.from_query({"r": "a" * 20_000})


@pytest.mark.parametrize("name", ["house-chain", "sst2"])
def test_chains_and_tasks_have_no_link(name: str):
    with pytest.raises(StillhouseError, match="has no link"):
        packed.to_query(read_recipe(ASSETS / "recipes" / f"{name}.yaml"))
    with pytest.raises(StillhouseError, match="kind"):
        packed.from_query({"kind": "chain", "c": "00000000"})
