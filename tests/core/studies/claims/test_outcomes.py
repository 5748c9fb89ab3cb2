"""Outcomes: what is kept, read back, judged again and shown."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from core.studies.claims import outcomes, registry
from core.studies.claims.outcomes import Outcome, Rejudgement
from core.studies.claims.registry import CLAIMS
from core.studies.claims.rules import below
from core.studies.claims.running import run_claim
from core.system.files import write_json
from tests.core.studies.claims.fake_claims import fake, put_in_place


@pytest.fixture(autouse=True)
def claim(monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_place(monkeypatch, fake())


@pytest.mark.parametrize("name", [path.stem for path in outcomes.SHIPPED.glob("*.json")])
def test_shipped_outcomes_are_those_of_the_claim_as_it_stands(name: str) -> None:
    outcome, place = outcomes.latest(CLAIMS[name])
    assert place == "shipped" and outcome.claim == name
    assert {figure.name for figure in CLAIMS[name].figures} == set(outcome.numbers)
    assert outcome.verdict == CLAIMS[name].rule.judge({key: number.values for key, number in outcome.numbers.items()})
    assert outcome.setting == CLAIMS[name].setting.to_dict()


def test_an_outcome_survives_json(home: Path) -> None:
    outcome = run_claim("X1")
    assert Outcome.from_dict(json.loads(json.dumps(outcome.to_dict()))) == outcome
    assert outcomes.latest(registry.find("X1")) == (outcome, "here")
    assert not (home / "claims" / "X1" / "seeds").exists()


@pytest.mark.parametrize(("spread", "stored", "now"), [(0.05, "pass", "pass"), (0.9, "pass", "inconclusive")])
def test_an_outcome_of_earlier_rules_gets_the_verdict_of_the_present_ones(home: Path, spread: float, stored: str, now: str) -> None:
    """Two standard errors let it pass; its values stay, and it says which verdict its run had."""
    claim = registry.find("X1")
    plain = run_claim("X1", (1, 2, 3)).to_dict()
    values = (1.0, 1.0 + spread, 1.0 + 2 * spread)  # mean 1 + spread, standard error spread / sqrt(3)
    plain["numbers"]["gain"] |= {"values": values, "mean": 1 + spread, "standard_error": spread / 3**0.5}
    for key in ("rules_version", "rejudged"):
        del plain[key]
    write_json(home / "claims" / "X1" / "outcome.json", plain | {"verdict": stored})
    outcome, _ = outcomes.latest(claim)
    assert outcome.verdict == now and outcome.rejudged == Rejudgement(stored, 1) and outcome.numbers["gain"].values == values
    assert outcomes.rejudge(outcome, claim) is outcome
    assert Outcome.from_dict(json.loads(json.dumps(outcome.to_dict()))) == outcome


@pytest.mark.parametrize(("stored", "now"), [("glued", "boundary_alpha_fraction"), ("stepwise_loss_wobble", "stepwise_loss_step_std"),
                                             ("taught_imdb", "with_teacher_imdb"), ("gain_elsewhere", "gain_out_of_domain")])
def test_numbers_are_read_under_the_names_of_release_0_1_0(stored: str, now: str) -> None:
    plain = run_claim("X1").to_dict()
    plain["numbers"] = {stored: plain["numbers"]["gain"]}
    assert list(Outcome.from_dict(plain).numbers) == [now]


def test_what_was_made_here_wins_and_what_another_protocol_made_is_not_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    claim = registry.find("X1")
    outcome = run_claim("X1")
    monkeypatch.setattr(outcomes, "SHIPPED", tmp_path)
    shipped = replace(outcome, verdict="fail")
    write_json(tmp_path / "X1.json", shipped.to_dict())
    assert outcomes.latest(claim) == (outcome, "here")
    outcomes.keep(replace(outcome, version=2))
    assert outcomes.latest(claim) == (shipped, "shipped")
    (tmp_path / "X1.json").write_text("{")
    assert outcomes.latest(claim) is None


def test_outcomes_of_earlier_versions_stay_readable_with_their_verdict(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(outcomes, "SHIPPED", tmp_path)
    first = run_claim("X1")
    write_json(tmp_path / "earlier" / "X1-v1.json", replace(first, seeds=(1, 2, 3)).to_dict())
    second = replace(fake(), version=2, reasons=("Walks were too short.",), rule=below("paces"))  # a number that version 1 lacks
    assert outcomes.latest(second) is None and outcomes.earlier(second) == [first]  # what was made here wins over the shipped one
    assert outcomes.verdict_words(second, None) == "not run under version 2" and outcomes.verdict_words(fake(), None) == "not run yet"
    outcomes.keep(replace(first, version=2))
    assert outcomes.earlier(second) == [first] and outcomes.made_here(second).version == 2
    outcomes.keep(replace(first, version=3))
    assert [each.version for each in outcomes.earlier(replace(second, version=4))] == [3, 2, 1]


@pytest.mark.parametrize("path", sorted((outcomes.SHIPPED / "earlier").glob("*.json")), ids=lambda path: path.stem)
def test_shipped_outcomes_of_earlier_versions_are_read(path: Path) -> None:
    name, _, version = path.stem.partition("-v")
    assert int(version) < CLAIMS[name].version
    assert int(version) in [each.version for each in outcomes.earlier(CLAIMS[name])]
