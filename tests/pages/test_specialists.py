"""The page Specialists: nothing yet, a run that trains, a finished run, and one whose folder is gone."""

from __future__ import annotations

import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from core.methods import run_experiment
from core.recipes import parse_recipe
from core.recorder import NullRecorder
from core.reports.specialist_items import KeptOpinion, ShownItems
from tests.core.methods.test_specialists import QUICK
from tests.pages import examples
from tests.pages.conftest import Open, answered, button, fault_free, texts
from workbench.screens.shared import background
from workbench.store import Store
from workbench.store.records import Run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run on digits."""
    folder = tmp_path_factory.mktemp("specialists")
    run_experiment(parse_recipe(QUICK), NullRecorder(), folder, load=lambda *_, **__: None)
    return folder


@pytest.fixture
def finished(store: Store, trained: Path) -> Run:
    run = store.create_run(parse_recipe(QUICK))
    shutil.copytree(trained, run.directory, dirs_exist_ok=True)
    process = examples.GONE
    store.claim_next(lambda *_: "cpu", list)
    store.mark_running(run.id, process)
    store.finish(run.id, "finished")
    return store.run(run.id)


def tables(page: object) -> str:
    return "".join(each.proto.body for each in page.get("html"))  # type: ignore[attr-defined]


def test_without_a_run_the_recipe_is_offered_and_starts(open_page: Open, store: Store) -> None:
    page = open_page("specialists")
    assert "No specialists yet" in texts(page)
    page.number_input(key="specialists.clusters.planted").set_value(12)
    page.number_input(key="specialists.seeds").set_value(1)
    fault_free(button(page, "Train").click().run())
    run, = store.runs()
    assert run.config.specialists.clusters == 12 and run.config.specialists.seeds == 1  # type: ignore[attr-defined]
    assert run.config.train.learning_rate == 2e-2


def test_digits_have_settings_of_their_own_and_impossible_ones_are_explained(open_page: Open, store: Store) -> None:
    page = open_page("specialists")
    page = fault_free(page.selectbox(key="specialists.source").set_value("digits").run())
    assert page.number_input(key="specialists.clusters.digits").value == 3
    page.number_input(key="specialists.clusters.digits").set_value(11)
    page = fault_free(button(page, "Train").click().run())
    assert "11 clusters were requested of 10 classes" in texts(page) and not store.runs()


def test_a_finished_run(open_page: Open, finished: Run) -> None:
    page = open_page("specialists", run=finished.name)
    said, shown = texts(page), tables(page)
    for words in ("Combined minus generalist", "95% CI, Student's t over 2 seeds", "Covariance of the generalist's predictions",
                  "over its items", "Back into one network", "Opinions about one item"):
        assert words in said, words
    for words in ("Classes of each specialist", "Conditional accuracies", "Accuracy by coverage", "ensemble of", "Opinions about the item",
                  "all others", "(right)"):
        assert words in shown, words
    assert page.query_params["item"] == "0"


def test_items_whose_answer_changes(open_page: Open, finished: Run) -> None:
    items = ShownItems.load(finished.directory)
    changed = [number for number, (before, after) in enumerate(zip(items.generalist, items.combined, strict=True))
               if before.index(max(before)) != after.index(max(after))]
    page = fault_free(open_page("specialists").toggle(key="specialists.different").set_value(True).run())
    if changed:
        assert page.query_params["item"] == str(changed[0])
    else:
        assert "change the answer to none" in texts(page)


def test_a_run_in_training_is_linked_and_a_deleted_panel_is_explained(open_page: Open, store: Store, finished: Run) -> None:
    waiting = store.create_run(parse_recipe({**QUICK, "name": "second"}))
    shutil.rmtree(finished.directory / "panel")
    page = open_page("specialists")
    assert "second** is being trained" in texts(page) and "is not there any more" in texts(page)
    fault_free(page.button(key=f"open.{waiting.id}").click().run())


@pytest.mark.parametrize("name", ["run", "runs", "recipes", "home", "models"])
def test_other_pages_show_such_a_run(open_page: Open, finished: Run, name: str) -> None:
    page = open_page(name, **({"run": finished.id} if name == "run" else {}))
    assert "Traceback" not in texts(page)
    if name == "run":
        assert "specialists of digits" in texts(page) and button(page, "Open specialists")


def test_a_text_of_ones_own_is_answered_by_the_engine(open_page: Open, finished: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    items = ShownItems.load(finished.directory)
    replace(items, texts=["some words"] * len(items.targets), pixels=[]).save(finished.directory)
    one = [KeptOpinion(each.classes, each.probabilities[:1], [True]) for each in items.opinions]
    said = asdict(replace(items, texts=["mine"], pixels=[], targets=[-1], generalist=items.generalist[:1], combined=items.combined[:1],
                          opinions=tuple(one)))
    questions: list[tuple[str, str]] = []
    monkeypatch.setattr(background, "opinions", lambda folder, text: questions.append((folder, text)) or answered(said))
    page = open_page("specialists")
    page = fault_free(page.text_input(key="specialists.text").set_value("mine").run())
    assert questions[-1] == (str(finished.directory / "panel"), "mine")
    assert "(right)" not in tables(page) and "Specialist 1" in texts(page)
