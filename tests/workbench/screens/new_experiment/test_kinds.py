"""What the form offers by what the models predict."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.config import DistillConfig
from core.models import catalog
from core.models.entries import ModelEntry
from core.recipes import parse_recipe, read_recipe
from core.system.paths import PROJECT
from tests.core.masked_models import masked_model, save
from tests.core.tiny import tiny_encoder
from workbench.screens.new_experiment import forms, kinds
from workbench.screens.new_experiment.forms import LEAVES


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> ModelEntry:
    return catalog.describe(str(save(masked_model(), tmp_path_factory.mktemp("models") / "bert")))


@pytest.fixture(scope="module")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> ModelEntry:
    return catalog.describe(str(save(tiny_encoder("roberta"), tmp_path_factory.mktemp("models") / "roberta")))


def test_every_name_is_a_leaf_and_belongs_to_one_kind():
    assert set(kinds.DEPENDENT) | set(kinds.MASKED_ONLY) <= set(LEAVES)
    assert not set(kinds.CAUSAL_ONLY) & set(kinds.MASKED_ONLY)


def test_the_triple_loss_is_the_recipe_of_the_paper(bert: ModelEntry):
    draft = forms.to_draft(DistillConfig())
    assert not kinds.is_triple_loss(draft, bert)
    kinds.triple_loss(draft, bert)
    assert kinds.is_triple_loss(draft, bert)
    config, errors = forms.check(draft)
    recipe = read_recipe(PROJECT / "assets" / "recipes" / "distilbert.yaml")
    assert errors == {}
    assert (config.losses, config.masking) == (recipe.losses, recipe.masking)
    assert config.student == recipe.student.model_copy(update={"layers": None})
    weights = {term: ramp.start for term, ramp in config.losses.weights().items() if ramp.start}
    assert weights == {"kd": 5.0, "hard": 2.0, "hidden": 1.0}
    masking = config.masking
    assert (config.losses.temperature, masking.mlm_probability, masking.mask_replace_prob, masking.random_replace_prob) == (
        2.0, 0.15, 0.8, 0.1)


@pytest.mark.parametrize("path", ["losses.w_hidden.start", "masking.mlm_probability", "student.dropout", "losses.temperature"])
def test_a_departure_is_seen(bert: ModelEntry, path: str):
    draft = forms.to_draft(DistillConfig())
    kinds.triple_loss(draft, bert)
    draft[path] = 0.3
    assert not kinds.is_triple_loss(draft, bert)


def test_another_depth_is_no_departure(bert: ModelEntry):
    draft = forms.to_draft(DistillConfig())
    kinds.triple_loss(draft, bert)
    draft["student.layers"] = 1
    assert kinds.is_triple_loss(draft, bert)


def test_what_is_put_aside_comes_back(bert: ModelEntry):
    house = catalog.describe("house-chat")
    before = forms.to_draft(parse_recipe({"losses": {"w_kd": 3}, "evaluation": {"sentiment_items": 7, "prompts": ["Is it good?"]}}))
    draft = dict(before)
    kinds.switch_model_type(draft, "causal", bert)
    assert (draft["losses.w_kd.start"], draft["evaluation.sentiment_items"]) == (5.0, 0)
    assert "[MASK]" in draft["evaluation.prompts"][0]
    draft["losses.w_hidden.start"] = draft["losses.w_hidden.end"] = 9.0
    kinds.switch_model_type(draft, "masked", house)
    assert {key: draft[key] for key in before} == before
    kinds.switch_model_type(draft, "causal", bert)
    assert draft["losses.w_hidden.start"] == 9.0


def test_a_student_fits_its_next_teacher(bert: ModelEntry, roberta: ModelEntry):
    draft = forms.to_draft(DistillConfig())
    kinds.switch_model_type(draft, "causal", bert)
    kinds.switch_model_type(draft, "masked", roberta)
    assert draft["student.architecture"] == "teacher"
    assert kinds.is_triple_loss(draft, roberta)


def test_a_classifier_changes_nothing(bert: ModelEntry):
    draft = forms.to_draft(DistillConfig())
    before = dict(draft)
    kinds.switch_model_type(draft, "causal", replace(bert, task="classification"))
    assert draft == before


def test_settings_tell_the_kind_where_no_model_does():
    assert kinds.of_settings(forms.to_draft(DistillConfig())) == "causal"
    assert kinds.of_settings(forms.to_draft(parse_recipe({"masking": {"fraction": 0.3}}))) == "masked"
    fresh = {"teacher": None, "losses": {"w_kd": 0}, "student": {"from_scratch": {"architecture": "bert"}}}
    assert kinds.of_settings(forms.to_draft(parse_recipe(fresh))) == "masked"


def test_the_link_to_distil_fits_the_model(bert: ModelEntry, roberta: ModelEntry):
    assert kinds.link_to_distil(catalog.describe("house-chat")) == {"set": ["teacher.model=house-chat", "student.layers=null"]}
    assert kinds.link_to_distil(bert) == {"recipe": "distilbert", "set": [
        f"teacher.model={bert.name}", "student.layers=null", f"data.block_length={bert.context}"]}
    assert "student.architecture=teacher" in kinds.link_to_distil(roberta)["set"]
