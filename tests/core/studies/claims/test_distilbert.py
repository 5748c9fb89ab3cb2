"""The claims about DistilBERT on a tiny teacher: every figure is measured, students are shared between claims, rules judge."""

from __future__ import annotations

import math

import pytest

from core.methods import distillation
from core.recorder import ListRecorder, StopRequested
from core.studies.claims import distilbert, registry
from core.studies.claims.claim import Claim
from core.studies.claims.distilbert import DistilBertProtocolConfig
from tests.core.masked_models import masked_model, save


@pytest.fixture(scope="module")
def setting(tmp_path_factory) -> DistilBertProtocolConfig:
    teacher = save(masked_model(), tmp_path_factory.mktemp("claims") / "teacher")
    return DistilBertProtocolConfig(teacher=str(teacher), layers=2, steps=2, blocks=4, train_items=32, items=24, speed_seconds=0.2)


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path_factory, setting):
    """A home of its own, shared by all of these tests, and a corpus of which little is read."""
    monkeypatch.setenv("STILLHOUSE_HOME", str(tmp_path_factory.getbasetemp() / "claims-home"))
    recipe = distilbert._recipe
    monkeypatch.setattr(distilbert, "_recipe", lambda seed, given: _little(recipe(seed, given)))


def _little(config):
    return config.model_copy(update={"data": config.data.model_copy(update={"max_rows": 40, "block_length": 32}),
                                     "train": config.train.model_copy(update={"per_device_train_batch_size": 4})})


@pytest.mark.parametrize("claim", distilbert.CLAIMS, ids=lambda claim: claim.name)
def test_every_figure_is_measured(claim: Claim, setting):
    numbers = claim.protocol(7, setting, ListRecorder())
    assert {figure.name for figure in claim.figures} <= set(numbers)
    assert all(math.isfinite(value) for value in numbers.values())
    assert claim.rule.judge({name: (value,) * 3 for name, value in numbers.items()}) in ("pass", "fail", "inconclusive")
    assert registry.find(claim.name) is claim


def test_claims_share_their_students(setting, monkeypatch):
    first = distilbert.copied_blocks(7, setting, ListRecorder())
    monkeypatch.setattr(distillation, "distill", lambda *_, **__: pytest.fail("trained again"))
    assert distilbert.copied_blocks(7, setting, ListRecorder()) == first


def test_a_stop_is_raised(setting):
    with pytest.raises(StopRequested):
        distilbert.copied_blocks(8, setting, ListRecorder(stop_after=0))


def test_variants_differ_in_what_they_are_named_for(setting):
    full, scratch, masked = (distilbert._variant(1, name, setting).to_dict() for name in ("full", "scratch", "at_masked"))
    assert scratch["student"]["init"] == "random" and (scratch["losses"]["w_kd"], scratch["losses"]["w_hidden"]) == (0, 0)
    assert masked == {**full, "losses": {**full["losses"], "kd_positions": "masked"}}
