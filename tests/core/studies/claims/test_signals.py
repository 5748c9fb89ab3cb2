"""The claims about kept answers, at a scale of seconds."""

from __future__ import annotations

import pytest

from core.evaluation import calibration
from core.recorder import NullRecorder
from core.studies.claims import signals
from core.studies.claims.registry import CLAIMS
from core.studies.claims.running import run_claim
from core.studies.claims.signals import SignalsProtocolConfig
from tests.core.chat_models import save_chat_model


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SignalsProtocolConfig:
    """A tiny teacher, for seconds in place of minutes."""
    teacher = save_chat_model(tmp_path_factory.mktemp("models") / "teacher", layers=2)
    return SignalsProtocolConfig(str(teacher), layers=1, steps=2, blocks=1, rows=30, timed_steps=3, draws=40, positions=8)


@pytest.mark.parametrize("name", ["F1", "F2", "F4"])
def test_a_claim_measures_what_its_figures_name(name: str, small: SignalsProtocolConfig) -> None:
    outcome = run_claim(name, (42,), NullRecorder(), setting=small)
    assert {figure.name for figure in CLAIMS[name].figures} <= set(outcome.numbers)
    if name == "F1":
        assert outcome.numbers["full"].mean != outcome.numbers["sampled"].mean != outcome.numbers["top"].mean
        assert all(0 <= outcome.numbers[f"{form}_ece"].mean <= 1 for form, _ in signals.FORMS)
    if name == "F2":
        assert outcome.verdict == "inconclusive" and 0 <= outcome.numbers["largest_gap"].mean < 0.05
    if name == "F4":
        assert outcome.verdict == "pass" and 0.7 < outcome.numbers["norm_ratio"].mean < 1.4


def test_the_share_of_the_bound(monkeypatch: pytest.MonkeyPatch, small: SignalsProtocolConfig) -> None:
    monkeypatch.setattr(signals, "SIZES", {"r60": (1, 32)})
    numbers = signals.near_the_bound(42, small, NullRecorder())
    assert 0 < numbers["r60_ratio"] < 1
    assert numbers["r60_bound"] == pytest.approx((1 + 3 * numbers["r60_ratio"]) / (3 * numbers["r60_ratio"]), rel=1e-3)
    assert numbers["smallest_share"] == numbers["r60_share"] == numbers["r60_speedup"] / numbers["r60_bound"]


def test_calibration_is_measured_on_the_students_tokens(monkeypatch: pytest.MonkeyPatch, small: SignalsProtocolConfig) -> None:
    seen = []
    monkeypatch.setattr(calibration, "expected_calibration_error", lambda confidence, correct: seen.append((confidence, correct)) or 0.5)
    config = signals._recipe(42, small)
    report = signals._trained(config, NullRecorder())
    assert signals._calibration(report, config) == 0.5
    (confidence, correct), = seen
    assert len(confidence) == len(correct) == report.student_after["tokens"]
