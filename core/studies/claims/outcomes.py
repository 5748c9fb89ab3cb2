"""Outcomes of claims, stored as JSON.

    assets/results/claims/<NAME>.json       shipped with the project
    <home>/claims/<NAME>/outcome.json       made here; wins over the shipped one
    .../earlier/<NAME>-v<version>.json      in both places: outcomes of earlier versions of a protocol, with the verdicts of their rules
    <home>/claims/<NAME>/seeds/<key>.json   numbers of one seed, while others are still to be run

An outcome keeps the value of every seed. Where the rules have changed since it was stored (`core.studies.claims.rules.VERSION`), its
verdict is computed again from the same values, and the outcome says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from core.evaluation.statistics import Estimate, mean_interval
from core.studies.claims import rules
from core.studies.claims.claim import Claim
from core.studies.claims.rules import VERDICT_NAMES, Verdict
from core.system.files import read_json, write_json
from core.system.paths import ASSETS, home

# Names of numbers that release 0.1.0 stored -> names of today.
RENAMED_NUMBERS = {
    "glued": "boundary_alpha_fraction", "taught": "with_teacher", "taught_imdb": "with_teacher_imdb", "taught_rt": "with_teacher_rt",
    "gain_elsewhere": "gain_out_of_domain", "distilled_elsewhere": "distilled_out_of_domain", "scratch_elsewhere": "scratch_out_of_domain",
    **{f"{name}_loss_wobble": f"{name}_loss_step_std" for name in ("stepwise", "direct", "direct_same_compute")}}

SHIPPED = ASSETS / "results" / "claims"
EARLIER = "earlier"


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

    @property
    def interval(self) -> Estimate:
        """The mean with its Student's t interval over the seeds."""
        return mean_interval(self.values)


@dataclass(frozen=True, slots=True)
class Rejudgement:
    """How an outcome's verdict came to differ from the one of its run: the same values under other rules.

    Attributes:
        verdict, rules_version: those of the run.
    """

    verdict: Verdict
    rules_version: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of checking a claim.

    Attributes:
        claim: its name.
        verdict: what its rule gives for the numbers.
        numbers: name -> what was measured.
        seeds: those that were run.
        setting: the scale, as plain data.
        environment: releases of the libraries, the processor, threads, the commit of this code.
        date: when it ended, UTC, in ISO 8601.
        seconds: working time of all seeds, by the processor (by the clock up to 2026-11-30); a model that claims share counts for the
            claim that trained it.
        version: of the protocol.
        rules_version: of the rules that gave the verdict (`core.studies.claims.rules.VERSION`).
        rejudged: the verdict of the run, where it was given by an earlier version of the rules; None otherwise.
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
    rules_version: int = 1  # outcomes up to release 0.1.0 do not say it
    rejudged: Rejudgement | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that `from_dict` reads back, with the interval of every number."""
        plain = asdict(self)
        for name, number in self.numbers.items():
            plain["numbers"][name]["interval"] = asdict(number.interval)
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Outcome:
        """Return the outcome of plain data; that of release 0.1.0 is read as well."""
        numbers = {RENAMED_NUMBERS.get(name, name): Number(tuple(number["values"]), number["mean"], number["standard_error"])
                   for name, number in plain["numbers"].items()}
        rejudged = plain.get("rejudged")
        return cls(**{**plain, "numbers": numbers, "seeds": tuple(plain["seeds"]), "rejudged": rejudged and Rejudgement(**rejudged)})


def rejudge(outcome: Outcome, claim: Claim) -> Outcome:
    """Return the outcome with the verdict that the present rules give for its values; itself where they gave it already."""
    if outcome.rules_version == rules.VERSION:
        return outcome
    first = outcome.rejudged or Rejudgement(outcome.verdict, outcome.rules_version)
    verdict = claim.rule.judge({name: number.values for name, number in outcome.numbers.items()})
    return replace(outcome, verdict=verdict, rules_version=rules.VERSION, rejudged=first)


def folder(name: str) -> Path:
    """Return the folder of everything about a claim that was made here."""
    return home() / "claims" / name


def keep(outcome: Outcome) -> Path:
    """Write an outcome under the home folder; `latest` returns it from now on, and `earlier` the one of another version before it."""
    path = folder(outcome.claim) / "outcome.json"
    before = _parsed(path)
    if before is not None and before.version != outcome.version:
        write_json(path.parent / EARLIER / f"{outcome.claim}-v{before.version}.json", before.to_dict())
    write_json(path, outcome.to_dict())
    return path


def earlier(claim: Claim) -> list[Outcome]:
    """Return the outcomes of earlier versions of a protocol, newest version first; of each that made here, or else the shipped one.

    They keep the verdict that they had: the rule of today speaks of other numbers.
    """
    here = folder(claim.name)
    paths = [SHIPPED / f"{claim.name}.json", *sorted((SHIPPED / EARLIER).glob(f"{claim.name}-v*.json")),
             *sorted((here / EARLIER).glob(f"{claim.name}-v*.json")), here / "outcome.json"]
    found = {outcome.version: outcome for path in paths if (outcome := _parsed(path)) is not None and outcome.version < claim.version}
    return [found[version] for version in sorted(found, reverse=True)]


def shipped(claim: Claim) -> Outcome | None:
    """Return the outcome that ships with the project, judged by the present rules; None where there is none of this version."""
    return _read(SHIPPED / f"{claim.name}.json", claim)


def made_here(claim: Claim) -> Outcome | None:
    """Return the outcome of this version that was made here, judged by the present rules; None where there is none."""
    return _read(folder(claim.name) / "outcome.json", claim)


def latest(claim: Claim) -> tuple[Outcome, Literal["here", "shipped"]] | None:
    """Return the outcome to show and where it was made; None where the claim, as it stands now, was never checked.

    Unreadable files and outcomes of another version of the protocol count as none. The verdict is that of the present rules.
    """
    if (here := made_here(claim)) is not None:
        return here, "here"
    outcome = shipped(claim)
    return None if outcome is None else (outcome, "shipped")


def verdict_words(claim: Claim, outcome: Outcome | None) -> str:
    """Return an outcome's verdict for people, or that a claim was not run, and under which version if it is not the first."""
    if outcome is not None:
        return VERDICT_NAMES[outcome.verdict]
    return "not run yet" if claim.version == 1 else f"not run under version {claim.version}"


def _read(path: Path, claim: Claim) -> Outcome | None:
    outcome = _parsed(path)
    return rejudge(outcome, claim) if outcome is not None and outcome.version == claim.version else None


def _parsed(path: Path) -> Outcome | None:
    try:
        return Outcome.from_dict(read_json(path) or {})
    except (KeyError, TypeError, AttributeError):
        return None
