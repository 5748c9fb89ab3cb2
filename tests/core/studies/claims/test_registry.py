"""All claims: described in full, each name once, and found by name."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest

from core.errors import ConfigError
from core.studies.claims import registry
from core.studies.claims.claim import Claim
from core.studies.claims.registry import CLAIMS, SYSTEMS
from tests.core.studies.claims.fake_claims import fake, put_in_place


def test_names_are_given_once() -> None:
    assert len(CLAIMS) == sum(len(system.CLAIMS) for system in SYSTEMS)


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
def test_every_claim_is_described_in_full(claim: Claim) -> None:
    assert all((claim.title, claim.statement, claim.published, claim.check, claim.source.place, claim.figures, claim.pitfalls))
    assert claim.name == claim.name.upper() and claim.seconds > 0
    assert any(f"{figure.name} is" in claim.rule.words for figure in claim.figures[:2])


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
def test_every_version_says_why_and_every_published_number_has_a_unit(claim: Claim) -> None:
    assert len(claim.reasons) == claim.version - 1 and all(claim.reasons)
    numbers = [word for word in re.split(r"[^\d.,%]+", claim.published) if any(map(str.isdigit, word))]
    assert claim.published_unit or not numbers or claim.published.startswith("no "), "published_unit"


def test_units_that_differ_are_said_to_be_no_comparison() -> None:
    assert fake(published_unit="m").units == "both in m"
    assert fake(published_unit="miles").units == "published in miles, ours in m: the two cannot be compared"
    assert fake().units == "no number is published; ours in m"


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.__name__)
def test_the_protocols_of_a_module_have_a_test_file(system: ModuleType) -> None:
    name = system.__name__.rpartition(".")[2]
    path = Path(__file__).with_name(f"test_{name}.py")
    assert path.is_file(), f"tests/core/studies/claims/{path.name}"
    tests = path.read_text(encoding="utf-8")
    imported = re.search(rf"^from core\.studies\.claims(\.{name}\b| import .*\b{name}\b)", tests, re.MULTILINE)
    missing = [claim.name for claim in system.CLAIMS if not re.search(rf'"{claim.name}"', tests)]
    assert imported or not missing, f"{path.name} neither imports {system.__name__} nor runs {missing}"


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_is_found_in_capitals_or_not(name: str) -> None:
    assert registry.find(name) is registry.find(name.lower()) is CLAIMS[name]


def test_an_unknown_claim_is_refused_with_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_place(monkeypatch, fake("C1"), fake("C2"), fake("D6"))
    with pytest.raises(ConfigError, match=r"The claims are C1, C2, D6\. Did you mean C"):
        registry.find("C12")
