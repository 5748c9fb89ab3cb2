"""What came of a claim, kept as JSON.

    assets/results/claims/<NAME>.json       shipped with the project
    <home>/claims/<NAME>/outcome.json       made here; wins over the shipped one
    <home>/claims/<NAME>/seeds/<key>.json   numbers of one seed, while others are still to be run
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from core.studies.claims.claim import Claim
from core.studies.claims.rules import Verdict
from core.system.files import read_json, write_json
from core.system.paths import ASSETS, home

SHIPPED = ASSETS / "results" / "claims"


@dataclass(frozen=True, slots=True)
class Number:
    """One measured quantity over the seeds.

    Attributes:
        values: in the order of the outcome's seeds.
        mean, standard_error: over the seeds; no standard error for one seed.
    """

    values: tuple[float, ...]
    mean: float
    standard_error: float | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of checking a claim.

    Attributes:
        claim: its name.
        verdict: what its rule said.
        numbers: name -> what was measured.
        seeds: those that were run.
        setting: the scale, as plain data.
        environment: releases of the libraries, the processor, threads, the commit of this code.
        date: when it ended, UTC, in ISO 8601.
        seconds: working time of all seeds; a model that claims share counts for the claim that had it trained.
        version: of the protocol.
    """

    claim: str
    verdict: Verdict
    numbers: Mapping[str, Number]
    seeds: tuple[int, ...]
    setting: Mapping[str, Any]
    environment: Mapping[str, Any]
    date: str
    seconds: float
    version: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `from_dict` reads back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Outcome:
        numbers = {name: Number(tuple(number["values"]), number["mean"], number["standard_error"])
                   for name, number in plain["numbers"].items()}
        return cls(**{**plain, "numbers": numbers, "seeds": tuple(plain["seeds"])})


def folder(name: str) -> Path:
    """Where everything about a claim is kept that was made here."""
    return home() / "claims" / name


def keep(outcome: Outcome) -> Path:
    """Write it under the home folder; it is what `latest` gives from now on."""
    path = folder(outcome.claim) / "outcome.json"
    write_json(path, outcome.to_dict())
    return path


def latest(claim: Claim) -> tuple[Outcome, Literal["here", "shipped"]] | None:
    """The outcome to show and where it was made; None where the claim, as it stands now, was never checked.

    Unreadable files and outcomes of another protocol count as none.
    """
    for place, path in (("here", folder(claim.name) / "outcome.json"), ("shipped", SHIPPED / f"{claim.name}.json")):
        try:
            outcome = Outcome.from_dict(read_json(path) or {})
        except (KeyError, TypeError, AttributeError):
            continue
        if outcome.version == claim.version:
            return outcome, place
    return None
