"""A comparison of three forms as it is stored."""

from __future__ import annotations

from typing import Any

from core.evaluation.statistics import Estimate, paired_difference, wilson_interval
from core.reports.deployment.record import Deployment, FormFigures, Group, WorstItem


def timing(value: float) -> Estimate:
    return Estimate(value, 0.9 * value, 1.1 * value, 0.95, 200, "bootstrap", "rounds")


def form(model: str, size: int, latency: float, right: int, lost: int | None) -> FormFigures:
    loss = None if lost is None else paired_difference([True] * 400, [True] * (400 - lost) + [False] * lost)
    return FormFigures(model, size, 8_000_000, timing(latency), timing(1.5 * latency), wilson_interval(right / 400, 400), loss,
                       {} if lost is None else {"agreement": wilson_interval(0.98, 400)})


def deployment(**changes: Any) -> Deployment:
    forms = {"teacher": form("the-teacher", 40_000_000, 12.0, 340, None), "student": form("it", 24_000_000, 6.0, 338, 2),
             "int8": form("it", 6_000_000, 2.0, 336, 4)}
    known: dict[str, Any] = {
        "student": "it", "teacher": "the-teacher", "task": "classification", "data": "rt", "metric": "accuracy", "items": 400,
        "distinct": 400, "unit": "items", "length": 32, "forms": forms, "warnings": ("1 of 400 held-out items repeat a text.",),
        "groups": (Group("class", "positive", 200, {name: wilson_interval(0.8, 200) for name in forms}),
                   Group("length", "3 to 9 words", 130, {name: wilson_interval(0.7, 130) for name in forms})),
        "worst": (WorstItem("A <b>fine</b> film.", "positive", dict.fromkeys(forms, "negative"), dict.fromkeys(forms, 0.4)),),
        "file": "model.int8.onnx", "processor": "a processor", "versions": {"torch": "2"}, "date": "2026-01-01 10:00", "seconds": 9.0}
    return Deployment(**known | changes)
