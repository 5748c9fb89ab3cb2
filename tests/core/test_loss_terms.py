"""Every loss term through every door of core/: recipes, refusals, logs, model cards, ablations. The trainers have tests of their own."""

from __future__ import annotations

from typing import Any

import pytest

from core.config import DistillConfig, LossSpec
from core.config.losses import Weight
from core.errors import ConfigError, SetField
from core.loss_terms import BY_NAME, LOSS_TERMS, LossTerm, enumerated, keys
from core.metrics import metric
from core.recipes import parse_recipe
from core.recorder import CONTROL, STUDENT
from core.reports.citations import cited
from core.reports.model_card import describe_losses
from core.studies.ablation import results, variants

EACH = pytest.mark.parametrize("term", LOSS_TERMS, ids=lambda term: term.name)
ON_STATES = [term for term in LOSS_TERMS if term.on == "states"]
WITH_TEACHER = [term for term in LOSS_TERMS if term.needs_teacher]


def alone(term: LossTerm, weight: Any = 1.0) -> LossSpec:
    return LossSpec(**{**dict.fromkeys(keys(), 0.0), term.key: weight})


def test_names_labels_and_titles_differ() -> None:
    for names in ([term.name for term in LOSS_TERMS], [term.label for term in LOSS_TERMS], [term.title for term in LOSS_TERMS]):
        assert len(set(names)) == len(names)


def test_recipes_have_a_weight_for_each_term_and_for_nothing_else() -> None:
    weights = {name for name, field in LossSpec.model_fields.items() if field.annotation is Weight.__origin__}
    assert weights == set(keys()), "LossSpec of core/config/losses.py, or LOSS_TERMS of core/loss_terms.py, lacks a term"
    assert [f"w_{name}" for name in LossSpec().weights()] == list(keys())
    new = {term.key: LossSpec.model_fields[term.key].default for term in LOSS_TERMS if term.name not in ("kd", "hard")}
    assert all(not (weight.start or weight.end) for weight in new.values()), "a recipe that does not name a term must stay what it was"


@EACH
def test_a_term_is_described_in_full(term: LossTerm) -> None:
    assert term.label and term.help and term.equation
    assert term.help[0].islower() and not term.help.endswith(".")
    assert term.needs_teacher or term.on == "logits", "states are compared with a teacher's"
    assert bool(term.left_out) != bool(term.kept_because), "an ablation leaves a term out, or there is a reason why not"
    assert not term.softened or "T" in term.equation


@EACH
def test_a_term_counts_from_either_end_of_its_ramp(term: LossTerm) -> None:
    for weight in (1.0, {"start": 0.0, "end": 1.0}, {"start": 1.0, "end": 0.0}):
        losses = alone(term, weight)
        assert losses.uses(term.name) and losses.needs_teacher() == term.needs_teacher
        assert not any(losses.uses(each.name) for each in LOSS_TERMS if each is not term)


@EACH
def test_a_term_is_logged_raw_and_weighted(term: LossTerm) -> None:
    raw, weighted = metric(f"raw/{term.name}"), metric(f"loss/{term.name}")
    assert (raw.label, raw.unit, weighted.unit) == (term.label, term.unit, "")
    assert weighted.help.startswith(term.key) and ("T squared" in weighted.help) == term.softened
    if term.masked:
        assert metric(f"raw/{term.name}", masked=True).label == term.masked.label
        assert metric(f"loss/{term.name}", masked=True).label.startswith(term.masked.label)


@EACH
@pytest.mark.parametrize("kind", ["pretrain", "bridge", "fine_tune"])
def test_without_a_teacher_labels_alone_count(term: LossTerm, kind: str) -> None:
    sections: dict[str, Any] = {"pretrain": {}, "bridge": {"bridge": {"model": "y"}}, "fine_tune": {"task": {"source": "rt"}}}[kind]
    plain = {"teacher": None, "student": {"model": "x"}, **sections, "losses": {"w_hard": 1, term.key: {"start": 0, "end": 1}}}
    if not term.needs_teacher:
        assert parse_recipe(plain).losses.uses(term.name)
        return
    with pytest.raises(ConfigError) as caught:
        parse_recipe(plain)
    assert caught.value.suggestion == SetField(f"losses.{term.key}", 0) and term.key in str(caught.value)


@EACH
def test_a_task_with_a_teacher_takes_terms_on_logits(term: LossTerm) -> None:
    plain = {"teacher": {"model": "t"}, "student": {"model": "x"}, "task": {"source": "rt"}, "losses": {term.key: 0.25}}
    if term in ON_STATES:
        with pytest.raises(ConfigError, match="outputs alone") as caught:
            parse_recipe(plain)
        assert caught.value.suggestion == SetField(f"losses.{term.key}", 0)
    else:
        assert parse_recipe(plain).losses.uses(term.name)


@EACH
def test_a_model_card_names_a_term_and_its_papers(term: LossTerm) -> None:
    assert f"0.25 x {term.title}" in describe_losses(alone(term, 0.25))
    config = DistillConfig(losses=alone(term))
    assert term.papers.keys() <= cited(config, STUDENT).keys()
    if term.needs_teacher and "1910.01108" not in term.papers:
        assert not term.papers.keys() & cited(config, CONTROL).keys()


@EACH
def test_an_ablation_leaves_a_term_out_and_has_a_word_for_that(term: LossTerm) -> None:
    made = variants.variants(DistillConfig(losses=LossSpec(**dict.fromkeys(keys(), 0.5))))
    name = f"minus_{term.name}"
    assert (name in made) == bool(term.left_out) == (name in results.WORDS)
    if term.left_out:
        assert not made[name].losses.uses(term.name) and results.WORDS[name] == term.left_out


def test_lists_of_keys_read_as_sentences() -> None:
    assert [enumerated(names) for names in (("a",), ("a", "b"), ("a", "b", "c"))] == ["a", "a and b", "a, b and c"]
    assert keys(needs_teacher=True) == tuple(term.key for term in WITH_TEACHER)
    assert set(keys(on="states")) == {term.key for term in ON_STATES} and set(BY_NAME) == {term.name for term in LOSS_TERMS}
