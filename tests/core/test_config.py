"""Recipes: what is read back, and what is refused with words that help."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from annotated_types import Le, Lt
from pydantic import BaseModel

from core.config import (
    KINDS,
    ORDER,
    BridgeConfig,
    ChainConfig,
    DistillConfig,
    FineTuneConfig,
    Kind,
    PretrainConfig,
    Ramp,
    StudentSpec,
    TeacherSpec,
)
from core.config.addresses import parse_address
from core.errors import ConfigError
from core.loss_terms import enumerated, keys
from core.recipes import apply_overrides, parse_recipe, parse_yaml, read_recipe

RECIPES = Path(__file__).resolve().parents[2] / "assets" / "recipes"
LABELS = enumerated(keys(needs_teacher=False))


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_recipes_round_trip(recipe):
    config = read_recipe(recipe)
    assert parse_recipe(parse_yaml(config.to_yaml(), "again")) == config
    assert parse_recipe(config.model_dump(mode="json")) == config


def test_defaults_round_trip_and_digest_ignores_the_name():
    config = DistillConfig()
    assert parse_recipe(config.to_dict()) == config
    renamed = parse_recipe({**config.to_dict(), "name": "other", "description": "words"})
    assert renamed.digest() == config.digest() != parse_recipe({"train": {"seed": 1}}).digest()


# ---------------------------------------------------------------------------------------------------- kinds


SHARDED = {"train": {"sharding": "both"}}
STUDENT = {"student": {"model": "proxy"}}


@pytest.mark.parametrize(("plain", "kind"), [
    ({}, DistillConfig), ({"kind": "distill"}, DistillConfig), ({"task": None, "chain": None, "bridge": None}, DistillConfig),
    ({"teacher": None, "student": {"from_scratch": {}}}, PretrainConfig), ({"kind": "pretrain", **STUDENT}, PretrainConfig),
    ({"task": {}, **STUDENT}, FineTuneConfig), ({"task": {}, "teacher": {"model": "x"}, **STUDENT}, FineTuneConfig),
    ({"kind": "fine_tune", **STUDENT}, FineTuneConfig), ({"chain": {"anchors": [{"layers": 2}]}}, ChainConfig),
    ({"bridge": {"model": "x"}, "teacher": None, **STUDENT}, BridgeConfig), ({"bridge": {"model": "x"}, **STUDENT}, BridgeConfig)])
def test_the_kind_is_that_of_the_sections(plain: dict, kind: type):
    config = parse_recipe(plain)
    assert type(config) is kind
    assert config.kind == config.to_dict()["kind"]
    assert parse_recipe(config.to_dict()) == config
    assert parse_recipe(parse_yaml(config.to_yaml(), "again")) == config


def test_every_kind_is_a_member_of_the_union():
    assert set(KINDS) == set(get_args(Kind))
    assert {key for kind in KINDS.values() for key in kind.model_fields} == set(ORDER)


@pytest.mark.parametrize(("plain", "field", "says"), [
    ({"kind": "distil"}, "kind", "One of distill, pretrain, fine_tune, chain, bridge, reading, ensemble, specialists was expected"),
    ({"chain": {"anchors": [{"layers": 2}]}, "control": True}, "control", "A chain describes its students itself"),
    ({"chain": {"anchors": [{"layers": 2}]}, "student": {"layers": 3}}, "student", "A chain describes its students itself"),
    ({"chain": {"anchors": [{"layers": 2}]}, "evaluation": {"retention": {}}}, "evaluation.retention",
     "A chain describes its students itself"),
    ({"chain": {"anchors": [{"layers": 2}]}, "teacher": None}, "teacher.model", "A chain begins with a teacher"),
    ({"task": {}, **STUDENT, "chain": {"anchors": [{"layers": 2}]}}, "chain", "A task is fine-tuned by itself"),
    ({"task": {}, **STUDENT, "control": True}, "control", "A task is fine-tuned by itself"),
    ({"task": {}}, "student.model", "Fine-tuning begins with a pretrained encoder"),
    ({"chain": {"anchors": [{"layers": 2}]}, **SHARDED}, "train.sharding", "A chain measures its anchors whole"),
    ({"task": {}, **STUDENT, **SHARDED}, "train.sharding", "trained whole"),
    ({"ensemble": {}, **SHARDED}, "train.sharding", "Networks of classifiers are small"),
    ({"teacher": {"model": "http://127.0.0.1:8000"}, **STUDENT, **SHARDED}, "train.sharding",
     "A teacher at an address has no weights here"),
    ({"teacher": {"signals": {"form": "top_k"}}, **SHARDED}, "train.sharding", "has nothing to share out"),
    ({"evaluation": {"retention": {}}, **SHARDED}, "train.sharding", "The retention card measures the teacher whole"),
    ({"teacher": None, **STUDENT, "train": {"sharding": "teacher"}}, "train.sharding", "There is no teacher"),
    ({"student": {"layers": 1, "lora": {}}, **SHARDED}, "train.sharding", "Adapters keep"),
    ({"task": {}, **STUDENT, "train": {"compile": "true"}}, "train.compile", "have many lengths"),
    ({"ensemble": {}, "train": {"compile": True}}, "train.compile", "have many lengths"),
    ({"train": {"compile": True, "sharding": "both"}}, "train.compile", "gathers each block"),
    ({"train": {"compile": "yes"}}, "train.compile", "one of false, auto or true"),
    ({"task": {}, **STUDENT, "losses": {"w_hidden": 1}}, "losses.w_hidden", "the teacher's outputs alone"),
    ({"task": {}, **STUDENT, "losses": {"w_kd": 1}}, "losses.w_kd", f"no teacher, so only {LABELS} can count"),
    ({"task": {}, **STUDENT, "evaluation": {"retention": {}}}, "evaluation.retention", "of a language model's student"),
    ({"bridge": {"model": "x"}, "teacher": {"model": "y"}, **STUDENT}, "teacher", "A bridge trains student.model on texts alone"),
    ({"bridge": {"model": "x"}}, "student.model", "A bridge trains student.model on texts alone"),
    ({"teacher": None, **STUDENT, "control": True}, "control", "the run is its own control"),
    ({"teacher": None, **STUDENT, "losses": {"w_kd": 1}}, "losses.w_kd", f"no teacher, so only {LABELS} can count"),
    ({"teacher": None, **STUDENT, "evaluation": {"retention": {}}}, "evaluation.retention", "nothing to retain"),
    ({"student": {"from_scratch": {}}}, "student.from_scratch", "cannot follow a teacher"),
    ({"kind": "distill", "task": {"source": "rt"}}, "task", "Its keys are: kind, name, description, teacher, student"),
    ({"kind": "pretrain", "teacher": {"model": "x"}, **STUDENT}, "teacher", "Pretraining has no teacher")])
def test_what_a_kind_has_no_use_for_is_refused(plain: dict, field: str | None, says: str):
    with pytest.raises(ConfigError) as caught:
        parse_recipe(plain)
    assert says.lower() in str(caught.value).lower()
    assert caught.value.field == field


def test_sections_of_other_kinds_may_have_their_defaults():
    """As every recipe that release 0.1.0 wrote has them."""
    config = parse_recipe({"chain": {"anchors": [{"layers": 2}]}})
    assert parse_recipe({**config.to_dict(), "student": {"layers": None, "units": "importance"}, "control": False, "masking": {},
                         "bridge": None, "task": None, "evaluation": {"retention": None}}) == config


def test_a_chains_steps_are_distillations():
    chain = parse_recipe({"chain": {"anchors": [{"layers": 2}]}, "losses": {"w_hard": 0.25}, "train": {"seed": 3}})
    step = chain.step(TeacherSpec(model="x"), StudentSpec(layers=2), "one")
    assert (step.kind, step.name, step.losses, step.train) == ("distill", "one", chain.losses, chain.train)


# ---------------------------------------------------------------------------------------------------- bounds


def test_every_number_of_a_recipe_has_an_upper_bound():
    """One number may not fill the memory: whoever adds a field says what no model, corpus or machine reaches."""
    sections, unbounded, numbers = [*KINDS.values(), Ramp], [], 0
    for section in sections:
        for name, field in section.model_fields.items():
            members = {field.annotation, *get_args(field.annotation)}
            sections += [each for each in members if isinstance(each, type) and issubclass(each, BaseModel) and each not in sections]
            sections += [each for member in members for each in get_args(member)
                         if isinstance(each, type) and issubclass(each, BaseModel) and each not in sections]
            if {int, float} & members:
                numbers += 1
                unbounded += [f"{section.__name__}.{name}"] if not any(isinstance(each, (Le, Lt)) for each in field.metadata) else []
    assert numbers > 60
    assert not unbounded


@pytest.mark.parametrize(("setting", "says"), [
    ("student.fresh.layers=1000000000", "at most 10000 was expected"), ("student.layers=1000000000", "at most 10000 was expected"),
    ("student.layer_map=[0, 1000000000]", "below 10,000"), ("train.num_train_epochs=1e308", "at most"),
    ("evaluation.retention={seeds: 1000000000}", "at most 10000 was expected"),
    (f"student.hidden={'9' * 90}", "at most 1000000 was expected")])
def test_a_number_that_would_fill_the_memory_is_refused(setting: str, says: str):
    with pytest.raises(ConfigError, match=says):
        parse_recipe(apply_overrides({}, ["teacher=null", setting] if "fresh" in setting else [setting]))


@pytest.mark.parametrize(("written", "url", "model"), [
    ("http://127.0.0.1:8000", "http://127.0.0.1:8000", ""), ("HTTP://Host:80/v1/", "http://host:80", ""),
    ("https://host/teachers/v1#Qwen/Qwen3-4B", "https://host/teachers", "Qwen/Qwen3-4B"),
    ("http://[::1]:8000#a", "http://[::1]:8000", "a")])
def test_an_address_has_a_host_and_perhaps_a_model(written, url, model):
    found = parse_address(written)
    assert (found.url, found.model) == (url, model) and parse_address(found.name) == found


@pytest.mark.parametrize(("given", "word"), [(True, "true"), (False, "false"), ("auto", "auto"), ("true", "true")])
def test_yamls_switches_are_words_of_a_rule(given: object, word: str) -> None:
    config = parse_recipe({"student": {"layers": 1}, "train": {"compile": given}})
    assert config.train.compile == word
    assert parse_recipe(parse_yaml(config.to_yaml(), "kept")).train.compile == word


def test_what_cannot_be_compiled_may_leave_it_to_the_machine() -> None:
    assert parse_recipe({"task": {}, **STUDENT, "train": {"compile": "auto"}}).train.compile == "auto"
