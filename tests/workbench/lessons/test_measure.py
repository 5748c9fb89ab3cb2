"""Lessons' results over seeds: what is measured, and that what ships was measured with the recipes that ship."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import StillhouseError
from core.system.files import read_json
from core.system.paths import ASSETS
from workbench.lessons import experiments, measure
from workbench.lessons.blocks import Slider


@pytest.mark.parametrize("name", measure.sources())
def test_what_ships_was_measured_with_the_recipe_that_ships(name: str):
    lesson, block = measure.sources()[name]
    kept = read_json(ASSETS / "results" / "lessons" / f"{name}.json")
    assert kept is not None, f"python -m workbench.lessons.measure {name}"
    configs = experiments.configs(lesson, block, {slider.name: slider.value for slider in lesson.of(Slider)})
    assert kept["digests"] == {label: config.digest() for label, config in configs.items()}
    assert all(len(seeds) == len(measure.SEEDS) for variants in kept["values"].values() for seeds in variants.values())
    assert kept["seconds"]["run"] < 30


def test_every_seed_and_run_is_trained_and_put_in_its_place(monkeypatch: pytest.MonkeyPatch):
    trained = []

    def train(config: Any) -> tuple[dict[str, Any], float, float]:
        trained.append(config)
        return {"student_after": {"kl_to_teacher": config.train.seed + config.losses.temperature, "loss": 1.0}}, 0.5, 2.0

    monkeypatch.setattr(measure, "train", train)
    found = measure.measure(*measure.sources()["temperature"], seeds=(42, 43))
    assert found["values"] == {"eval/kl_to_teacher": {"T = 1": {"42": 43.0, "43": 44.0}, "T = 4": {"42": 46.0, "43": 47.0}}}
    assert found["seconds"] == {"first_loss": 0.5, "run": 2.0}
    assert len(trained) == 5  # one more, before anything is timed


def test_a_name_that_no_figure_shows_is_an_error():
    with pytest.raises(StillhouseError, match="Names are: temperature"):
        measure.main(["nothing"])
