"""Cards with known numbers."""

from __future__ import annotations

from core.evaluation.speed import ModelSpeed
from core.evaluation.statistics import Estimate
from core.reports.retention_card import Card, Row, TaskScores, Timing

SEEDS = (42, 43, 44)


def speed_of(latency: float, faster: float) -> ModelSpeed:
    def timed(value: float, share: float) -> Estimate:
        return Estimate(value, (1 - share) * value, (1 + share) * value, 0.95, 100, "bootstrap", "rounds")

    ratio = timed(faster, 0.05 if faster != 1 else 0.0)
    return ModelSpeed(timed(latency, 0.1), timed(1 / latency, 0.1), ratio, ratio)


def scores(imdb: tuple[float, ...], rt: tuple[float, ...]) -> tuple[TaskScores, ...]:
    return TaskScores("imdb", "accuracy", 1250, imdb), TaskScores("rt", "accuracy", 427, rt)


def card() -> Card:
    """A student 45% smaller and 1.6 times as fast, better than its control."""
    return Card(
        (Row("teacher", "house-bert", 10_000_000, 6_000_000, 40_000_000, "fp32", 1.0e9, speed_of(0.050, 1.0),
             scores((0.90, 0.92, 0.91), (0.80, 0.81, 0.79))),
         Row("student", "student", 5_500_000, 3_000_000, 22_000_000, "fp32", 0.6e9, speed_of(0.031, 1.6),
             scores((0.88, 0.90, 0.89), (0.77, 0.79, 0.78))),
         Row("control", "control", 5_500_000, 3_000_000, 22_000_000, "fp32", 0.6e9, speed_of(0.031, 1.6),
             scores((0.85, 0.86, 0.87), (0.72, 0.75, 0.74)))),
        SEEDS, Timing(128, 32, 2, 100, 5, "a processor"), 2000, 2.0, "2026-11-24T10:00:00+00:00")
