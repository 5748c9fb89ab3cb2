"""The page of claims: nothing run yet, running, finished, stopped, failed."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from core.studies.claims import outcomes, registry
from core.studies.claims.running import evaluate_claim
from tests.core.studies.claims.fake_claims import fake, put_in_place
from tests.pages.conftest import Open, fault_free, texts
from tests.pages.examples import GONE
from workbench.processes import Process
from workbench.studies import background
from workbench.studies.jobs import ClaimJob, JobState


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_place(monkeypatch, fake("X1", title="Walking* helps"), fake("X2"))
    monkeypatch.setattr(outcomes, "SHIPPED", outcomes.Path("/nowhere"))


def finished(gain: float = 1.0) -> None:
    numbers = {seed: {"gain": gain + seed % 3 / 10, "steps": 5} for seed in (42, 43, 44)}
    outcomes.keep(evaluate_claim(registry.CLAIMS["X1"], numbers, registry.CLAIMS["X1"].setting, 83.0))


def checked(state: str, process: Process = GONE, **details: Any) -> None:
    ClaimJob.of("X1").save_state(JobState(state, process, time.time(), **details))


def test_empty(open_page: Open) -> None:
    page = open_page("claims")
    said = texts(page)
    assert page.title[0].value == "Claims"
    assert "Walking is better than standing." in said and "12.3 against 4.5" in said and "https://arxiv.org/abs/0000.00000" in said
    assert "Walking\\* helps" in said  # no italics
    assert said.count(":gray-badge[:material/schedule: not run yet]") == 2 and "python -m workbench claim X1" in said
    assert [page.button(key=f"check.{name}").label for name in ("X1", "X2")] == ["Check", "Check"]


def test_running(open_page: Open) -> None:
    checked("running", Process.current(), done=1, total=3, text="Walk: step 3 of 5")
    page = open_page("claims")
    assert page.get("progress")[0].proto.text.replace("\\", "") == "1 of 3 seeds done · Walk: step 3 of 5"
    assert page.button(key="check.X2").disabled
    assert texts(page).count(":gray-badge[:material/schedule: not run yet]") == 1
    fault_free(page.button(key="stop.X1").click().run())
    assert ClaimJob.of("X1").stop_file.exists() and page.button(key="stop.X1").disabled
    assert page.get("progress")[0].proto.text.startswith("stopping")


def test_finished(open_page: Open) -> None:
    finished()
    page = open_page("claims")
    said = texts(page)
    assert ":green-badge[:material/check_circle: reproduced]" in said and "1.1 ± 0.25 m" in said and "checked here" in said
    assert "± 95% CI, Student's t over 3 seeds" in said
    assert "the walking - standing is above 0 with its whole 95% confidence interval" in said
    assert page.button(key="check.X1").label == "Check again"


@pytest.mark.parametrize(("gain", "words"), [
    (-2.0, ":red-badge[:material/cancel: not reproduced]"), (-0.1, ":orange-badge[:material/help: inconclusive]")])
def test_other_verdicts(open_page: Open, gain: float, words: str) -> None:
    finished(gain)
    assert words in texts(open_page("claims"))


def test_failed_beside_an_earlier_outcome(open_page: Open) -> None:
    finished()
    checked("failed", message="There was not enough memory.", hint="Close other programs.")
    (outcomes.folder("X1") / "log.txt").write_text("Traceback: no memory\n")
    page = open_page("claims")
    assert "There was not enough memory" in page.error[0].value and "Close other programs" in page.error[0].value
    assert "Traceback: no memory" in texts(page) and ":green-badge[:material/check_circle: reproduced]" in texts(page)


@pytest.mark.parametrize(("state", "kind"), [("stopped", "info"), ("running", "warning")])
def test_stopped_or_lost_can_be_resumed(open_page: Open, state: str, kind: str) -> None:
    checked(state, message="Stopped.")
    page = open_page("claims")
    assert len(page.get(kind)) == 1
    assert page.button(key="check.X1").label == "Resume"


def test_the_button_starts_it_and_says_why_it_cannot(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    monkeypatch.setattr(background, "start_claim", started.append)
    page = open_page("claims")
    fault_free(page.button(key="check.X2").click().run())
    assert started == ["X2"]
    monkeypatch.undo()
    put_in_place(monkeypatch, fake("X1"))
    monkeypatch.setattr(background, "WORKER", ("/no/such/program",))
    page = fault_free(open_page("claims").button(key="check.X1").click().run())
    assert "could not be started" in page.error[0].value


def test_the_address_of_release_0_1_0_leads_to_the_page(open_page: Open) -> None:
    page = open_page("checks")
    assert page.title[0].value == "Claims" and page.button(key="check.X1").label == "Check"


def test_a_verdict_of_earlier_rules_says_what_it_was(open_page: Open) -> None:
    finished(0.1)  # mean 0.2, standard error 0.058: 3.5 of them, of which Student's t needs 4.3
    outcome, _ = outcomes.latest(registry.CLAIMS["X1"])
    assert outcome.verdict == "inconclusive"
    outcomes.keep(replace(outcome, verdict="pass", rules_version=1))
    said = texts(open_page("claims"))
    assert "2 claims: 0 reproduced, 0 not reproduced, 1 inconclusive, 0 measured without a verdict, 1 not run as they stand now." in said
    assert said.count("Reproduced by the rules of its run (two standard errors)") == 2  # on the card and in the expander
    outcomes.keep(replace(outcome, verdict="inconclusive", rules_version=1))
    assert texts(open_page("claims")).count("by the rules of its run") == 1  # in the expander alone


def test_one_table_of_all_verdicts(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_place(monkeypatch, fake("X1", published_unit="miles"), fake("X2", sanity_check=True))
    finished()
    page = open_page("claims")
    table = page.dataframe[0].value
    assert list(table["claim"]) == ["X1", "X2"] and list(table["verdict"]) == ["reproduced", "not run yet (sanity check)"]
    assert table["ours"][0] == "1.1 ± 0.25 m: walking - standing" and table["units"][0].endswith("the two cannot be compared")
    assert (table["seeds"][0], table["minutes"][0], table["expected"][1]) == (3, 1.4, 5.0)
    assert page.get("link_button") and "claim --all" in texts(page)


def test_a_new_version_shows_the_earlier_outcome_as_such(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    finished()
    put_in_place(monkeypatch, fake("X1", version=2, reasons=("Walks were too short.",)), fake("X2"))
    page = open_page("claims")
    said = texts(page)
    assert "not run under version 2" in said and "**Version 2.** Walks were too short." in said
    assert "**Outcome under version 1:** reproduced, 3 seeds" in said and ":green-badge" not in said
    assert list(page.dataframe[0].value["verdict"]) == ["not run under version 2", "not run yet"]
