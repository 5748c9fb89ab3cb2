"""The claims about DistilBERT on a tiny teacher: every figure is measured, students are shared between claims, rules judge."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from core.methods import distillation
from core.recorder import ListRecorder, StopRequested
from core.students import layer_maps
from core.studies.claims import distilbert, distilbert_protocols, registry
from core.studies.claims.claim import Claim
from core.studies.claims.distilbert_protocols import MAPS, DistilBertProtocolConfig, GeometryProtocolConfig
from core.studies.claims.rules import VERDICT_NAMES
from tests.core.masked_models import masked_model, save


@pytest.fixture(scope="module")
def setting(tmp_path_factory) -> DistilBertProtocolConfig:
    teacher = save(masked_model(), tmp_path_factory.mktemp("claims") / "teacher")
    return DistilBertProtocolConfig(teacher=str(teacher), layers=2, steps=2, blocks=4, train_items=32, items=24)


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path_factory, setting):
    """A home of its own, shared by all of these tests, and a corpus of which little is read."""
    monkeypatch.setenv("STILLHOUSE_HOME", str(tmp_path_factory.getbasetemp() / "claims-home"))
    monkeypatch.setitem(layer_maps.TABLE, (4, 2), (0, 3))
    recipe = distilbert_protocols.recipe_of
    monkeypatch.setattr(distilbert_protocols, "recipe_of", lambda seed, given: _little(recipe(seed, given)))


def _little(config):
    return config.model_copy(update={"data": config.data.model_copy(update={"max_rows": 40, "block_length": 32}),
                                     "train": config.train.model_copy(update={"per_device_train_batch_size": 4})})


@pytest.mark.parametrize("claim", distilbert.CLAIMS, ids=lambda claim: claim.name)
def test_every_figure_is_measured(claim: Claim, setting):
    numbers = claim.protocol(7, SMALL_GEOMETRY if claim.name == "A4" else setting, ListRecorder())
    assert {figure.name for figure in claim.figures} <= set(numbers)
    assert all(math.isfinite(value) for value in numbers.values())
    assert claim.rule.judge({name: (value,) * 3 for name, value in numbers.items()}) in VERDICT_NAMES
    assert registry.find(claim.name) is claim


def test_claims_share_their_students(setting, monkeypatch):
    first = distilbert_protocols.copied_blocks(7, setting, ListRecorder())
    monkeypatch.setattr(distillation, "distill", lambda *_, **__: pytest.fail("trained again"))
    assert distilbert_protocols.copied_blocks(7, setting, ListRecorder()) == first


def test_a_stop_is_raised(setting):
    with pytest.raises(StopRequested):
        distilbert_protocols.copied_blocks(8, setting, ListRecorder(stop_after=0))


def test_variants_differ_in_what_they_are_named_for(setting):
    full, scratch, copied, masked, last = (distilbert_protocols.variant_of(1, name, setting).to_dict()
                                           for name in ("full", "scratch", "copied", "at_masked", "map_last"))
    assert scratch["student"]["init"] == "random" and (scratch["losses"]["w_kd"], scratch["losses"]["w_hidden"]) == (0, 0)
    assert copied == {**scratch, "student": full["student"]}
    assert masked == {**full, "losses": {**full["losses"], "kd_positions": "masked"}}
    depth = masked_model().config.num_hidden_layers
    assert last["student"]["layer_map"] == list(range(depth - setting.layers, depth))


# ---------------------------------------------------------------------------------------------------- verdicts that turn


def judged(name: str, numbers: dict[str, float], spread: float = 0.0) -> str:
    """Return the verdict of five seeds around these numbers."""
    return registry.CLAIMS[name].rule.judge({key: [value + spread * step for step in (-2, -1, 0, 1, 2)] for key, value in numbers.items()})


@pytest.fixture
def measured(monkeypatch):
    """Protocols whose students have given losses and accuracies."""
    def of(name: str, losses: dict[str, float], accuracies: dict[str, float]) -> dict[str, float]:
        class Report:
            def __init__(self, variant: str) -> None:
                self.output_dir, self.student_after = variant, {"cross_entropy": losses[variant]}

        monkeypatch.setattr(distilbert_protocols, "trained_variant", lambda _seed, variant, *_: Report(variant))
        monkeypatch.setattr(distilbert_protocols, "_out_of_domain", lambda folder, *_: losses[folder] + 1)
        monkeypatch.setattr(distilbert_protocols, "_accuracy", lambda model, *_: accuracies[model])
        claim = registry.CLAIMS[name]
        return dict(claim.protocol(1, claim.setting, ListRecorder()))

    return of


def test_a_copy_without_a_teacher_does_not_pass(measured):
    """2 nats better than random weights, and not distilled: A1 and A7 ask what the teacher's answers add."""
    losses, accuracies = {"full": 4.4, "copied": 4.5, "scratch": 6.5}, {"full": 0.7, "copied": 0.65, "scratch": 0.55, "house-encoder": 0.72}
    distilled = measured("A1", losses, accuracies)
    assert judged("A1", distilled) == "pass" and judged("A7", measured("A7", losses, accuracies)) == "pass"
    copy = {**losses, "full": losses["copied"]}, {**accuracies, "full": accuracies["copied"]}
    trivial = measured("A1", *copy)
    assert trivial["copied_gain"] == 2 and judged("A1", trivial) != "pass" and judged("A7", measured("A7", *copy)) != "pass"
    assert judged("A1", {**distilled, "gain_tasks": -0.01}) == "fail"


def test_the_order_is_one_of_signed_worths(measured):
    """Noise about nothing is no worth: parts that are worth nothing, now above and now below it, leave the order open."""
    losses = {"full": 4.0, "random": 6.0, "minus_kd": 4.2, "minus_hidden": 4.1, "minus_hard": 4.0}
    assert judged("A2", measured("A2", losses, {})) == "pass"
    assert judged("A2", measured("A2", {**losses, "minus_hidden": 4.3}, {})) == "fail"
    noise = measured("A2", {**losses, "minus_hidden": 4.0, "minus_hard": 4.0}, {})
    assert judged("A2", noise, spread=0.01) == "inconclusive"
    assert registry.CLAIMS["A2"].default_seeds == (47, 48, 49, 50, 51)  # none that an earlier version has seen


def test_any_other_map_that_is_as_good_turns_it(measured):
    losses = {"map_table": 4.0, **{f"map_{rule}": 4.1 for rule in MAPS}}
    assert judged("A8", measured("A8", losses, {})) == "pass"
    for rule in MAPS:
        assert judged("A8", measured("A8", {**losses, f"map_{rule}": 4.0}, {})) == "inconclusive"
        assert judged("A8", measured("A8", {**losses, f"map_{rule}": 3.9}, {})) == "fail"


SMALL_GEOMETRY = GeometryProtocolConfig(vocabulary=97, hidden=16, heads=2, neurons=32, layers=4, student_layers=2, positions=32, length=16,
                                        seconds=0.1)


def test_a_copy_is_neither_smaller_nor_faster():
    numbers = distilbert_protocols.smaller_and_faster(1, replace(SMALL_GEOMETRY, student_layers=4), ListRecorder())
    assert numbers["smaller"] < 0.1 and judged("A4", numbers) == "fail"
    published = {"faster": 1.63, "parameters_teacher": 109_482_240, "parameters_student": 66_362_880}
    assert judged("A4", published) == "pass"
    assert judged("A4", {**published, "faster": 1.3}) == "fail" and judged("A4", {**published, "parameters_student": 109e6}) == "fail"


def test_the_published_geometry_has_the_published_parameters():
    with torch.device("meta"):
        models = distilbert_protocols.geometry(registry.CLAIMS["A4"].setting)
    assert [sum(parameter.numel() for parameter in model.parameters()) for model in models] == [109_482_240, 66_362_880]


def test_what_has_no_published_order_gets_no_verdict(measured):
    assert all(judged("A6", {"gain": gain}) == "measured" for gain in (-1.0, 0.0, 1.0))


def test_an_accuracy_is_measured_once(setting, monkeypatch):
    calls = []
    monkeypatch.setattr(distilbert_protocols, "_fine_tuned", lambda *given: calls.append(given) or (None, 0.5))
    for seed in (1, 1, 2):
        assert distilbert_protocols._accuracy(setting.teacher, "imdb", seed, setting, ListRecorder()) == 0.5
    assert len(calls) == 2
