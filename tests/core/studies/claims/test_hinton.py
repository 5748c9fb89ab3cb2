"""The claims about soft targets, at a scale of seconds, and with what they measure broken."""

from __future__ import annotations

from typing import Any

import pytest

from core.classification import bias
from core.recorder import ListRecorder, NullRecorder, StopRequested
from core.studies.claims import hinton_protocols
from core.studies.claims.hinton_protocols import HintonProtocolConfig
from core.studies.claims.registry import CLAIMS
from core.studies.claims.running import run_claim
from core.training import losses

SMALL = HintonProtocolConfig(teacher=24, student=12, tiny=4, teacher_epochs=4, epochs=3, few_steps=6, members=2, member=6, member_items=60,
                             random_rows=40)
NAMES = ("B2", "B3", "B4", "B5", "B6", "B7")


@pytest.mark.parametrize("name", NAMES)
def test_a_claim_measures_what_its_figures_name(name: str) -> None:
    numbers = CLAIMS[name].protocol(7, SMALL, NullRecorder())  # type: ignore[operator]
    assert {figure.name for figure in CLAIMS[name].figures} == set(numbers)


def test_the_gradient_identity_holds_and_a_missing_factor_breaks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_claim("B1", (1,), NullRecorder(), setting=SMALL).verdict == "pass"
    exact = losses.forward_kl
    monkeypatch.setattr(losses, "forward_kl", lambda z, v, temperature: (0, exact(z, v, temperature)[1] * temperature))
    assert run_claim("B1", (1,), NullRecorder(), setting=SMALL).verdict == "fail"


def test_the_shift_is_chosen_on_other_images_than_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    exact = bias.choose_shift
    monkeypatch.setattr(bias, "choose_shift", lambda logits, *rest: seen.append(len(logits)) or exact(logits, *rest))
    hinton_protocols.an_omitted_class_comes_back(1, SMALL, NullRecorder())
    assert set(seen) == {len(hinton_protocols._digits().validation)}


@pytest.mark.parametrize(("numbers", "verdict"), [
    ({}, "pass"), ({"after": 0.84}, "fail"), ({"before": 0.7, "rise": 0.2}, "fail"), ({"control_same_b": 0.1}, "fail"),
    ({"b": -1.0}, "fail")])
def test_every_part_of_the_rule_for_the_omitted_class_counts(numbers: dict[str, Any], verdict: str) -> None:
    good = {"after": 0.9, "before": 0.4, "rise": 0.5, "control": 0.0, "control_same_b": 0.0, "b": 3.0} | numbers
    assert CLAIMS["B4"].rule.judge({name: [value] * 3 for name, value in good.items()}) == verdict


def test_a_share_of_no_gain_is_inconclusive() -> None:
    rule = CLAIMS["B7"].rule
    assert rule.judge({"gain": [2.0, 2.1, 1.9], "half_kept": [0.5, 0.6, 0.4]}) == "pass"
    assert rule.judge({"gain": [2.0, 2.1, 1.9], "half_kept": [-0.5, -0.6, -0.4]}) == "fail"
    assert rule.judge({"gain": [2.0, -2.1, 0.1], "half_kept": [0.5, 0.6, 0.4]}) == "inconclusive"


@pytest.mark.parametrize("name", NAMES)
def test_a_stop_ends_a_protocol(name: str) -> None:
    with pytest.raises(StopRequested):
        CLAIMS[name].protocol(1, SMALL, ListRecorder(stop_after=0))  # type: ignore[operator]
