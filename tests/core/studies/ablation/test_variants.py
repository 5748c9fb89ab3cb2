"""Variants of a recipe: each leaves out one part and nothing else; what was trained is found again."""

from __future__ import annotations

from typing import get_args

import pytest
from filelock import FileLock

from core.config.experiment import Kind
from core.errors import ConfigError
from core.methods import distillation
from core.recipes import parse_recipe
from core.recorder import ListRecorder, StopRequested
from core.reports.run_report import RunReport
from core.studies.ablation.variants import OTHER_KINDS, TERMS, folder_of, trained, variants, with_seed
from tests.core.masked_models import masked_model, save

TRIPLE = {"losses": {"w_kd": 5, "w_hard": 2, "w_hidden": 1}, "control": True}


def test_each_variant_leaves_out_one_part():
    made = variants(parse_recipe(TRIPLE))
    assert list(made) == ["full", "minus_kd", "minus_hidden", "minus_hard", "random"]
    assert not any(config.control for config in made.values())
    full = made["full"].to_dict()
    for name in ("minus_kd", "minus_hidden", "minus_hard"):
        without = made[name].to_dict()
        assert without["losses"] == {**full["losses"], TERMS[name]: 0.0} and without["student"] == full["student"]
    assert made["random"].to_dict() == {**full, "student": {**full["student"], "init": "random"}}


@pytest.mark.parametrize(("recipe", "names"), [
    ({}, ["full", "minus_kd", "minus_hard", "random"]), ({"losses": {"w_hard": 0}}, ["full", "random"]),
    ({"losses": {"w_hard": 1, "w_kd": 2}, "student": {"init": "random"}}, ["full", "minus_kd", "minus_hard"])])
def test_parts_that_a_recipe_does_not_use_have_no_variant(recipe, names):
    assert list(variants(parse_recipe(recipe))) == names


@pytest.mark.parametrize("recipe", [
    {"losses": {"w_hard": 0}, "student": {"init": "random"}},
    {"teacher": None, "student": {"from_scratch": {}}, "losses": {"w_kd": 0, "w_hard": 1}}])
def test_nothing_to_leave_out_is_reported(recipe):
    with pytest.raises(ConfigError):
        variants(parse_recipe(recipe))


def test_every_other_kind_has_its_words():
    assert {*OTHER_KINDS, "distill"} >= set(get_args(Kind))


@pytest.mark.parametrize(("recipe", "says"), [
    ({"task": {}, "student": {"model": "house-encoder"}}, "The recipe fine-tunes a model on a labelled task."),
    ({"teacher": None, "student": {"model": "house-chat"}}, "The recipe trains a model without a teacher."),
    ({"chain": {"anchors": [{"layers": 2}]}}, "The recipe builds a chain of anchors."),
    ({"bridge": {"model": "x"}, "student": {"model": "house-chat"}}, "The recipe trains a model on a teacher's texts.")])
def test_a_recipe_of_another_kind_is_refused_by_its_kind(recipe, says):
    with pytest.raises(ConfigError) as caught:
        variants(parse_recipe(recipe))
    assert caught.value.given == says


def test_what_was_trained_is_found_again(tmp_path, monkeypatch):
    monkeypatch.setenv("STILLHOUSE_HOME", str(tmp_path))
    calls = []

    def distill(config, recorder, folder, *, load):
        calls.append(config.train.seed)
        folder.mkdir(parents=True)
        (folder / "report.json").write_text('{"stopped": false}')
        return RunReport.from_dict({})

    monkeypatch.setattr(distillation, "distill", distill)
    config = parse_recipe(TRIPLE)
    for seed in (1, 1, 2, 1):
        assert not trained(with_seed(config, seed), ListRecorder()).stopped
    assert calls == [1, 2]


def test_other_weights_of_the_same_folder_are_another_experiment(tmp_path):
    config = parse_recipe({**TRIPLE, "teacher": {"model": str(save(masked_model(seed=1), tmp_path / "teacher"))}})
    first = folder_of(config)
    assert folder_of(config) == first
    save(masked_model(seed=2), tmp_path / "teacher")
    assert folder_of(config) != first


def test_another_process_that_trains_it_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setenv("STILLHOUSE_HOME", str(tmp_path))
    config = parse_recipe(TRIPLE)
    folder = folder_of(config)
    folder.mkdir(parents=True)
    with FileLock(folder.with_suffix(".lock")), pytest.raises(StopRequested):
        trained(config, _Stops())


class _Stops(ListRecorder):
    """Requests a stop at the first check."""

    def should_stop(self) -> bool:
        return True
