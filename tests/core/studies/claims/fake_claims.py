"""Claims that take no time, in the place of the real ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from core.events import Phase
from core.recorder import Recorder, StopRequested
from core.studies.claims import registry
from core.studies.claims.claim import Claim, Figure, Numbers, ProtocolConfig, Source
from core.studies.claims.rules import above


@dataclass(frozen=True)
class Scale(ProtocolConfig):
    """How far a walk goes, and where it stumbles."""

    steps: int = 5
    fails_at: int | None = None


def walk(seed: int, setting: Scale, recorder: Recorder) -> Numbers:
    """Logs its steps; the number is a little above 1."""
    recorder.event(Phase("Walk", "student", total_steps=setting.steps))
    for step in range(1, setting.steps + 1):
        recorder.log("student", step, {"loss": 1 / step})
        if recorder.should_stop():
            raise StopRequested
        if (seed, step) == (setting.fails_at, setting.steps):
            raise FloatingPointError("stumbled")
    return {"gain": 1 + seed % 3 / 10, "steps": setting.steps}


def fake(name: str = "X1", **changes: Any) -> Claim:
    values = {"title": "Walking helps", "system": "Walks", "statement": "Walking is better than standing.", "published": "12.3 against 4.5",
              "source": Source("0000.00000", "table 1"), "check": "Gain = walking - standing.",
              "figures": (Figure("gain", "walking - standing", "m"), Figure("steps", "steps")), "rule": above("gain"),
              "setting": Scale(), "seconds": 60, "protocol": walk, "pitfalls": ("Shoes matter.",)}
    return Claim(name, **{**values, **changes})


def put_in_place(monkeypatch: pytest.MonkeyPatch, *claims: Claim) -> None:
    """These are all the claims that there are, for everyone who looks."""
    monkeypatch.setattr(registry, "CLAIMS", {claim.name: claim for claim in claims})
