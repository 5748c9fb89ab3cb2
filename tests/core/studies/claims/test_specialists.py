"""The claims about specialists, at a scale of seconds."""

from __future__ import annotations

import numpy as np
import pytest

from core.recorder import ListRecorder, NullRecorder, StopRequested
from core.specialists import combining
from core.studies.claims.registry import CLAIMS
from core.studies.claims.running import run_claim
from core.studies.claims.specialists import SpecialistsProtocolConfig, distilled_back, specialists_help

SMALL = SpecialistsProtocolConfig(train_items=600, test_items=200, embedding=4, specialist_epochs=1, epochs=3, rate=5e-2, checked=12,
                                  student_embedding=5)


def test_the_numbers_are_those_of_the_figures_and_networks_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("B8", "B9"):
        outcome = run_claim(name, (42,), NullRecorder(), setting=SMALL)
        assert {figure.name for figure in CLAIMS[name].figures} <= set(outcome.numbers)
        if name == "B8":
            assert outcome.numbers["fixed_point_gap"].mean < 1e-6 and outcome.numbers["empty_gap"].mean == 0
            first = outcome.numbers["combined"].mean
            monkeypatch.setattr("core.specialists.experiment.train_specialist", None)  # the other claim trains no specialist again
    assert outcome.numbers["combined"].mean == first and outcome.numbers["members"].mean >= 2


def test_a_wrong_fixed_point_is_no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(combining, "_proportions", lambda rest: np.full_like(rest, 1 / rest.shape[1]))
    outcome = run_claim("B8", (42,), NullRecorder(), setting=SMALL)
    assert outcome.numbers["fixed_point_gap"].mean > 1e-6 and outcome.verdict == "fail"


def test_a_stop_is_heeded() -> None:
    for protocol in (specialists_help, distilled_back):
        with pytest.raises(StopRequested):
            protocol(42, SMALL, ListRecorder(stop_after=0))
