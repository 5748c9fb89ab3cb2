"""Keys of release 0.1.0 in recipes of today, and the digests of that release."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest

from core import recipe_keys, recipes
from core.config import (
    KINDS,
    ORDER,
    AnchorSpec,
    ChainConfig,
    ChainSpec,
    Config,
    DataSpec,
    DistillConfig,
    FineTuneConfig,
    LossSpec,
    PretrainConfig,
)
from core.config.base import counted
from core.config.losses import Weight, constant
from core.data import prepare
from core.errors import ConfigError
from core.recipes import apply_overrides, parse_recipe, read_recipe
from tests.core.chat_models import chat_tokenizer

PRETRAIN = {"teacher": None, "student": {"model": "x"}}
SCRATCH: dict[str, Any] = {"teacher": None, "student": {}}
CHAIN = {"chain": {"anchors": [{"layers": 2}]}}
# Old key -> the recipe that it is set in, its value, today's key and value.
OLD: dict[str, tuple[dict[str, Any], Any, str, Any]] = {
    "student.fresh": (SCRATCH, {"layers": 3}, "student.from_scratch.layers", 3),
    "student.fresh.feed_forward": (SCRATCH, 40, "student.from_scratch.intermediate_size", 40),
    "student.feed_forward": ({}, 40, "student.intermediate_size", 40),
    "student.units": ({}, "first", "student.pruning_criterion", "first"),
    "data.passes": ({}, 3, "data.corpus_epochs", 3),
    "data.small_talk": ({}, 7, "data.identity_question_every", 7),
    "masking.fraction": ({}, 0.3, "masking.mlm_probability", 0.3),
    "masking.mask": ({}, 0.7, "masking.mask_replace_prob", 0.7),
    "masking.random": ({}, 0.2, "masking.random_replace_prob", 0.2),
    "masking.rarity": ({}, 0.0, "masking.mlm_smoothing", 0.0),
    "masking.whole_words": ({}, True, "masking.whole_word_mask", True),
    "chain.order": (CHAIN, "direct", "chain.teacher", "largest"),
}


@pytest.fixture(autouse=True)
def _warn_again() -> None:
    recipes._warn.cache_clear()


def value_at(config: Any, path: str) -> Any:
    for key in path.split("."):
        config = getattr(config, key)
    return config


@pytest.mark.parametrize("old", OLD)
def test_an_old_key_is_read_with_one_warning(old: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    start, value, new, today = OLD[old]
    path = tmp_path / "recipe.yaml"
    plain = json.loads(json.dumps(start))
    *sections, leaf = old.split(".")
    place = plain
    for section in sections:
        place = place.setdefault(section, {})
    place[leaf] = value
    path.write_text(json.dumps(plain))
    with caplog.at_level(logging.WARNING):
        configs = [read_recipe(path), read_recipe(path)]
    assert [value_at(config, new) for config in configs] == [today, today]
    renamed = new if old != "student.fresh" else "student.from_scratch"
    assert sum(f"'{renamed}'" in record.message for record in caplog.records) == 1, "one warning, which names the new key"


@pytest.mark.parametrize("old", OLD)
def test_an_old_key_is_an_override_with_one_warning(old: str, caplog: pytest.LogCaptureFixture) -> None:
    start, value, new, today = OLD[old]
    with caplog.at_level(logging.WARNING):
        config = parse_recipe(apply_overrides(start, [f"{old}={json.dumps(value)}"]))
    assert value_at(config, new) == today
    assert len(caplog.records) == 1
    assert f"'{old}'" in caplog.text


def test_the_keys_of_anchors_are_read_under_their_old_name() -> None:
    config = parse_recipe({"chain": {"anchors": [{"layers": 2, "feed_forward": 40}, {"layers": 1}]}})
    assert isinstance(config, ChainConfig)
    assert [anchor.intermediate_size for anchor in config.chain.anchors] == [40, None]


def test_an_override_counts_over_an_old_key() -> None:
    assert parse_recipe(apply_overrides({"data": {"passes": 2}}, ["data.corpus_epochs=5"])).data.corpus_epochs == 5
    assert parse_recipe(apply_overrides({"data": {"corpus_epochs": 2}}, ["data.passes=5"])).data.corpus_epochs == 5


def test_both_names_of_a_key_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"data\.passes and data\.corpus_epochs"):
        parse_recipe({"data": {"passes": 2, "corpus_epochs": 3}})


def test_stored_configurations_are_read_without_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert parse_recipe({"data": {"passes": 2}}).data.corpus_epochs == 2
    assert not caplog.records


def test_names_go_back_and_forth() -> None:
    for old in recipe_keys.RENAMED.values():
        assert recipe_keys.today(old) == old
    plain = parse_recipe({"chain": {"anchors": [{"layers": 2, "feed_forward": 40}], "order": "direct"}}).to_dict()
    released = recipe_keys.release_names(plain)
    assert released["chain"]["anchors"][0]["feed_forward"] == 40
    assert released["chain"]["order"] == "direct"
    assert recipe_keys.upgraded(released) == plain


@pytest.mark.parametrize("config", [
    DistillConfig(), PretrainConfig(student={"model": "x"}), FineTuneConfig(student={"model": "x"}),
    ChainConfig(chain={"anchors": ({"layers": 2},)})], ids=lambda config: config.kind)
def test_the_shape_of_the_release_has_all_its_sections(config: Any) -> None:
    shape = recipe_keys.release_shape(config.to_dict())
    assert shape.keys() == {"name", "description", "teacher", "student", "losses", "data", "masking", "train", "evaluation", "bridge",
                            "task", "chain", "control"}


@pytest.mark.parametrize(("plain", "digest"), [
    ({}, "5388723d39ac"), ({"teacher": None, "student": {"model": "x"}, "losses": {"w_kd": 0}}, "bc6c920a9510"),
    ({"student": {"model": "x"}, "task": {"source": "rt"}}, "6c1fb7b5ed33"), (CHAIN, "5644156fb7ac"),
    ({"teacher": None, "student": {"model": "x"}, "losses": {"w_kd": 0}, "bridge": {"model": "y"}}, "79cb7a3aaa21")])
def test_digests_are_those_of_the_release(plain: dict[str, Any], digest: str) -> None:
    # The default of save_precision changed, and with it what a recipe that leaves it out computes: that one has another digest.
    assert parse_recipe(plain | {"train": {"save_precision": "fp32"}}).digest() == digest, (
        "a key of release 0.1.0 has another name, default or format; RENAMED of core/recipe_keys.py keeps digests of renamed keys")
    assert parse_recipe(plain).digest() != digest


NEW = "a key of release 0.1.0 is gone; where it was renamed, name it in RENAMED of core/recipe_keys.py, and leave RELEASE_KEYS as it is"


def test_every_key_of_the_release_is_a_key_of_today() -> None:
    today = {path for kind in KINDS.values() for path in _paths(kind)}
    assert recipe_keys.known_keys() <= today, NEW


def test_every_section_of_a_kind_has_its_place_in_written_recipes() -> None:
    sections = {name for kind in KINDS.values() for name in kind.model_fields}
    assert sections == set(ORDER), "ORDER of core/config/experiment.py lacks a section, which recipes and digests would lose"


def _paths(model: Any, section: str = "") -> set[str]:
    paths: set[str] = set()
    for name, field in model.model_fields.items():
        path = f"{section}.{name}".removeprefix(".")
        paths.add(path)
        for inner, many in _models(field.annotation):
            paths |= _paths(inner, f"{path}[]" if many else path)
    return paths


def _models(annotation: Any, many: bool = False) -> list[tuple[Any, bool]]:
    """Return the sections that a field may hold, and whether it holds a list of them."""
    if isinstance(annotation, type) and issubclass(annotation, Config):
        return [(annotation, many)]
    return [found for each in get_args(annotation) for found in _models(each, many or get_origin(annotation) is tuple)]


class _Losses(LossSpec):
    w_new: Weight = constant(0.0)


class _Anchor(AnchorSpec):
    new: str | None = None


class _Chain(ChainSpec):
    anchors: tuple[_Anchor, ...]


class _Section(Config):
    rank: int = 2


class _Data(DataSpec):
    new: int = 3
    section: _Section | None = None


class _Distill(DistillConfig):
    losses: _Losses = _Losses()
    data: _Data = _Data()


class _ChainConfig(ChainConfig):
    chain: _Chain


def test_a_new_key_changes_no_digest_until_it_is_used() -> None:
    released = DistillConfig().digest()
    assert _Distill().digest() == released
    changed = [{"losses": _Losses(w_new=constant(0.5))}, {"data": _Data(new=4)}, {"data": _Data(section=_Section())}]
    digests = {_Distill(**sections).digest() for sections in changed} | {released}
    assert len(digests) == 4
    plain = {"anchors": ({"layers": 2},)}
    released = ChainConfig(chain=plain).digest()
    assert _ChainConfig(chain=plain).digest() == released != _ChainConfig(chain={"anchors": ({"layers": 2, "new": "x"},)}).digest()


def test_a_new_key_changes_no_key_of_the_cache_of_blocks_until_it_is_used() -> None:
    keys = [prepare._key(spec, chat_tokenizer(), 1, "causal") for spec in (DataSpec(), _Data(), _Data(new=4))]
    assert keys[0] == keys[1] != keys[2]


def test_keys_of_the_release_count_with_their_default_too() -> None:
    plain = DistillConfig().to_dict()
    found = counted(DistillConfig(), plain)
    known = recipe_keys.known_keys()
    for section in ("losses", "train", "student", "data", "masking", "evaluation"):
        assert found[section].keys() == {key for key in plain[section] if f"{section}.{key}" in known}
    assert found.keys() == plain.keys() & known
