"""The page Ensemble: what its form says becomes a recipe, mistakes are explained, and the run's page shows the result."""

from __future__ import annotations

from typing import Any

import pytest

from core.reports.ensemble_report import EnsembleSummary, Omitted, Repetition
from tests.pages.conftest import Open, fault_free, texts, written
from tests.pages.examples import config
from workbench.screens.run import ensemble_results
from workbench.store import Store

KEPT = EnsembleSummary(("member-1", "mine"), "arithmetic", 4.0, 100, 60, tuple(
    Repetition(seed, (14.0, 12.0), ensemble, student, 20.0, (0.5, 0.5), omitted) for seed, ensemble, student, omitted in (
        (1, 10.0, 14.0, (Omitted("3", 2.5, 0.2, 0.9, 0.0, 4.0, 0.5),)), (2, 11.0, 13.0, ()), (3, 9.0, 12.0, ()))))


def test_the_form_becomes_a_recipe_that_starts(open_page: Open, store: Store) -> None:
    page = open_page("ensemble")
    page.number_input(key="ensemble.count").set_value(2)
    page.text_input(key="ensemble.hidden").set_value("24, 12")
    page.multiselect(key="ensemble.named").select("house-digits")
    page.selectbox(key="ensemble.mean").set_value("geometric")
    page.text_input(key="ensemble.omitted").set_value("3, 8")
    page = fault_free(page.number_input(key="ensemble.images").set_value(0).run())
    recipe = written(page)
    assert recipe["ensemble"]["members"][0]["hidden"] == [24, 12] and recipe["ensemble"]["members"][1]["model"] == "house-digits"
    assert recipe["ensemble"]["mean"] == "geometric" and recipe["images"]["omit_classes"] == ["3", "8"]
    assert recipe["images"]["max_train_items"] is None
    page.button(key="ensemble.start").click().run()
    run, = store.runs()
    assert run.config.to_dict()["ensemble"]["members"][1]["model"] == "house-digits"


@pytest.mark.parametrize(("key", "value", "words"), [
    ("ensemble.hidden", "many", "are no hidden units"), ("ensemble.source", "nowhere", "is no data set of images")])
def test_mistakes_are_explained(open_page: Open, key: str, value: str, words: str) -> None:
    page = open_page("ensemble")
    page = fault_free(page.text_input(key=key).set_value(value).run())
    assert words in texts(page)


def test_one_member_is_allowed_and_said(open_page: Open) -> None:
    page = open_page("ensemble")
    page = fault_free(page.number_input(key="ensemble.count").set_value(1).run())
    assert "has one member" in texts(page) and not page.button(key="ensemble.start").disabled


def test_the_runs_page_shows_errors_and_the_share_of_the_gain(open_page: Open, store: Store) -> None:
    run = store.create_run(config("mixed"))
    store.log_events(run.id, [("evaluation", {"who": "student_after", "metrics": {"accuracy": 0.9}}, 1.0),
                              ("report", {"output_dir": "", "student": {"name": "x"}, "ensemble": KEPT.to_dict()}, 2.0)])
    said = texts(open_page("run", run="mixed", tab="Results"))
    assert "One student keeps **70%**" in said and "Classes that the student never saw" in said


@pytest.mark.parametrize("ensemble", [(19.0, 22.0, 20.0), (21.0, 22.0, 23.0)])
def test_a_gain_that_is_none_has_no_share(ensemble: tuple[float, ...]) -> None:
    repetitions: Any = tuple(Repetition(number, (14.0,), value, 15.0, 20.0, (1.0,)) for number, value in enumerate(ensemble))
    assert "no gain beyond chance" in ensemble_results.sentence(EnsembleSummary(("a",), "geometric", 1.0, 100, 10, repetitions))


LANGUAGE = EnsembleSummary(("house-chat", "mine"), "arithmetic", 2.0, 9000, 245_760, tuple(
    Repetition(seed, (3.4, 3.5), 3.3, student, labels, (0.5, 0.5), one_member=alone) for seed, student, labels, alone in (
        (1, 3.6, 3.8, 3.65), (2, 3.61, 3.82, 3.67), (3, 3.6, 3.81, 3.66))), "cross_entropy")


def test_an_ensemble_of_language_models_is_shown_in_nats_beside_one_of_its_members(open_page: Open, store: Store) -> None:
    run = store.create_run(config("spoken"))
    store.log_events(run.id, [("evaluation", {"who": "student_after", "metrics": {"cross_entropy": 3.6}}, 1.0),
                              ("report", {"output_dir": "", "student": {"name": "x"}, "ensemble": LANGUAGE.to_dict()}, 2.0)])
    said = texts(open_page("run", run="spoken", tab="Results"))
    assert "One student keeps **41%**" in said and "0.5100 nats a token" in said
    assert "the ensemble teaches better" in said and "245,760 tokens for each student" in said
    assert EnsembleSummary.from_dict(LANGUAGE.to_dict()) == LANGUAGE


def test_what_one_seed_or_an_equal_teacher_says_is_worded_with_care() -> None:
    one = EnsembleSummary(("a",), "geometric", 1.0, 9, 9, LANGUAGE.repetitions[:1], "cross_entropy")
    assert "one seed does not tell" in ensemble_results.beside_one_member(one)
    equal: Any = tuple(Repetition(seed, (3.0,), 2.9, 3.5, 3.8, (1.0,), one_member=3.5 + shift) for seed, shift in enumerate((-0.1, 0.1, 0)))
    assert "no difference beyond chance" in ensemble_results.beside_one_member(EnsembleSummary(("a",), "geometric", 1.0, 9, 9, equal,
                                                                                               "cross_entropy"))
    assert not ensemble_results.beside_one_member(KEPT)
