"""One row a figure: what, how much, what was aimed for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure.

    Attributes:
        name: what was measured.
        value: the number, in `unit`.
        aim: what it should be, empty where nothing was promised.
        reached: whether it is; None where nothing was promised.
        detail: the raw numbers behind it.
    """

    name: str
    value: float
    unit: str
    aim: str
    reached: bool | None
    detail: str


def markdown(figures: Sequence[Figure]) -> str:
    """The table, as it stands in the README."""
    lines = ["| figure | measured | aim | |", "| --- | --- | --- | --- |"]
    for figure in figures:
        verdict = {True: "reached", False: "missed", None: ""}[figure.reached]
        lines.append(f"| {figure.name} | {figure.value:.3g} {figure.unit} | {figure.aim} {verdict} | {figure.detail} |")
    return "\n".join(lines)
