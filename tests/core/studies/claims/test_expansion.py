"""Expansion is exact, and the claim would find out if it were not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.studies.claims.registry import CLAIMS
from core.studies.claims.running import run_claim


def test_expansion_is_exact() -> None:
    outcome = run_claim("C9", (42,))  # ten pairs of models; other seeds have other random weights
    assert outcome.verdict == "pass"
    assert {figure.name for figure in CLAIMS["C9"].figures} == set(outcome.numbers)
    assert outcome.numbers["worst"].mean > 0


def test_expansion_that_forgets_the_gain_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.students.resizing.math.sqrt", lambda value: 1.0)
    assert run_claim("C9", (42,), setting=replace(CLAIMS["C9"].setting, architectures=("llama",))).verdict == "fail"
