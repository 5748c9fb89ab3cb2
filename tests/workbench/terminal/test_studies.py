"""The verb `claim`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from core.errors import ConfigError
from core.studies.claims import outcomes
from core.studies.claims.claim import Claim
from tests.core.studies.claims.fake_claims import Scale, fake, put_in_place
from workbench.terminal import cli

RunJson = Callable[..., tuple[int, Any]]


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_place(monkeypatch, fake("X1"), fake("X2"), fake("Y7"))


@pytest.fixture
def run_json(capsys: pytest.CaptureFixture[str]) -> RunJson:
    def run(*arguments: str) -> tuple[int, Any]:
        code = cli.main(["claim", *arguments, "--json"])
        return code, json.loads(capsys.readouterr().out)

    return run


def test_one_claim_is_one_document(run_json: RunJson) -> None:
    code, document = run_json("X1")
    assert code == 0
    assert (document["claim"], document["verdict"], document["seeds"]) == ("X1", "pass", [42, 43, 44, 45, 46])
    gain = document["numbers"]["gain"]
    assert gain["values"] == [1.0, 1.1, 1.2, 1.0, 1.1] and gain["mean"] == pytest.approx(1.08)
    assert gain["standard_error"] == pytest.approx(0.0374, 0.01)
    assert gain["interval"] == {"value": pytest.approx(1.08), "low": pytest.approx(0.976, 0.001), "high": pytest.approx(1.184, 0.001),
                                "level": 0.95, "n": 5, "method": "student_t", "over": "seeds"}
    assert document["source"] == {"arxiv": "0000.00000", "place": "table 1"} and "above 0" in document["rule"]


def test_several_are_a_list_each_once_with_the_requested_number_of_seeds(run_json: RunJson) -> None:
    code, documents = run_json("X1", "y7", "X1", "--seeds", "2")
    assert code == 0
    assert [(each["claim"], each["seeds"], each["verdict"]) for each in documents] == [
        ("X1", [42, 43], "inconclusive"), ("Y7", [42, 43], "inconclusive")]


def test_without_a_name_the_claims_are_listed(run_json: RunJson, capsys: pytest.CaptureFixture[str]) -> None:
    run_json("X2")
    code, documents = run_json()
    assert code == 0
    assert [(each["claim"], each["verdict"]) for each in documents] == [("X1", None), ("X2", "pass"), ("Y7", None)]
    assert documents[1]["made"] == "here" and documents[0]["published"] == "12.3 against 4.5"
    cli.main(["claim"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["NAME", "VERDICT"] and lines[2].split()[:3] == ["X2", "reproduced", "5"]


@pytest.mark.parametrize(("gain", "verdict", "words"), [
    (lambda seed: 1.0, "pass", "reproduced"), (lambda seed: -1.0, "fail", "not reproduced"),
    (lambda seed: (-1.0) ** seed, "inconclusive", "inconclusive")])
def test_every_verdict_is_a_result(monkeypatch: pytest.MonkeyPatch, run_json: RunJson, capsys: pytest.CaptureFixture[str],
                                   gain: Callable[[int], float], verdict: str, words: str) -> None:
    put_in_place(monkeypatch, fake("X1", protocol=lambda seed, setting, recorder: {"gain": gain(seed), "steps": 1.0}))
    code, document = run_json("X1")
    assert (code, document["verdict"]) == (0, verdict)
    assert cli.main(["claim", "X1"]) == 0
    assert f"Walking helps: {words}\n" in capsys.readouterr().out


def test_people_read_means_units_and_the_rule(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["claim", "X1"]) == 0
    output = capsys.readouterr()
    assert "X1  Walking helps: reproduced" in output.out and "1.08 ± 0.1 m" in output.out
    assert "12.3 against 4.5 (0000.00000, table 1)" in output.out
    assert "mean ± half of its 95% CI, Student's t over 5 seeds" in output.out
    assert "X1, seed 43: 1 of 5 done" in output.err


def test_unknown_names_are_refused_with_the_nearest_before_anything_runs(run_json: RunJson) -> None:
    code, document = run_json("X1", "X11")
    assert code == 2
    assert document["error"]["given"] == "There is no claim 'X11'." and "X1" in document["error"]["fix"]
    assert outcomes.latest(fake("X1")) is None


@pytest.mark.parametrize("count", ["0", "-1", "many"])
def test_seeds_are_counted_from_one(run_json: RunJson, count: str) -> None:
    code, document = run_json("X1", "--seeds", count)
    assert code == 2 and "seeds" in document["error"]["given"]


def test_a_protocol_that_breaks_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    claim: Claim = fake("X1", setting=Scale(fails_at=43))
    put_in_place(monkeypatch, claim)
    with pytest.raises(FloatingPointError):
        cli.main(["claim", "X1"])
    assert outcomes.latest(claim) is None


def test_help_says_units_and_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["claim", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "number of seeds, from 42 on" in text and "(default: 5)" in text and "name of a claim" in text


def test_all_resumes_and_goes_past_a_claim_that_cannot_be_checked(monkeypatch: pytest.MonkeyPatch, run_json: RunJson,
                                                                  capsys: pytest.CaptureFixture[str]) -> None:
    def broken(*_: Any) -> dict[str, float]:
        raise ConfigError("There is no ground.", "Ground was expected.")

    put_in_place(monkeypatch, fake("X1", protocol=broken), fake("X2"), fake("Y7"))
    run_json("X2")
    assert cli.main(["claim", "--all"]) != 0
    said = capsys.readouterr().err
    assert "2 of 3 claims are still to be checked, about 10 min" in said and "X1 could not be checked: There is no ground." in said
    assert outcomes.made_here(fake("Y7")) is not None
    put_in_place(monkeypatch, fake("X1"), fake("X2"), fake("Y7"))
    code, documents = run_json("--all")
    assert code == 0 and [each["claim"] for each in documents] == ["X1", "X2", "Y7"]
    assert cli.main(["claim", "--all"]) == 0
    assert "0 of 3 claims" in capsys.readouterr().err
    assert cli.main(["claim", "--all", "X1"]) != 0
