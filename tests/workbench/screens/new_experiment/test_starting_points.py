"""Recipes, uploads, runs and links as the beginning of a form."""

from __future__ import annotations

import pytest

from core.errors import ConfigError
from core.recipes import read_recipe
from core.system.paths import PROJECT
from tests.pages import examples
from workbench.errors import RunNotFoundError
from workbench.screens.new_experiment import starting_points
from workbench.store import Store


def test_the_quickstart_comes_first_and_every_recipe_is_valid():
    recipes = starting_points.shipped()
    assert next(iter(recipes)) == starting_points.FIRST
    assert "smoke" not in recipes
    for name, path in recipes.items():
        assert starting_points.from_recipe(name).config == read_recipe(PROJECT / path)


def test_an_uploaded_recipe():
    start = starting_points.from_upload("mine.yaml", b"student: {layers: 3}")
    assert (start.label, start.config.student.layers, start.recipe) == ("mine.yaml", 3, None)


@pytest.mark.parametrize(("content", "words"), [
    (b"\xff\xfe", "not UTF-8"), (b"student: {layer: 3}", "Did you mean 'student.layers'"), (b"- 1", "holds list"), (b"", "holds nothing")])
def test_a_broken_upload_is_refused_with_the_reason(content: bytes, words: str):
    with pytest.raises(ConfigError, match=words):
        starting_points.from_upload("mine.yaml", content)


def test_a_link_names_a_run_or_a_recipe_with_changes():
    store = Store()
    run = examples.finished(store)
    start, config = starting_points.from_url({"from": run.name}, ["losses.temperature=5"], store)
    assert start.config == run.config
    assert config.losses.temperature == 5
    start, config = starting_points.from_url({}, [], store)
    assert start.label == starting_points.FIRST
    assert config == start.config
    with pytest.raises(RunNotFoundError):
        starting_points.from_url({"from": "nothing"}, [], store)
