"""The first page: where one left off, and ways in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pages import examples
from tests.pages.conftest import Open, button, fault_free, texts
from workbench.store import Store


def test_an_empty_store_says_what_to_do(open_page: Open):
    page = open_page("home")
    assert page.title[0].value == "Stillhouse"
    assert "No runs yet" in texts(page)
    assert "<svg" in texts(page)  # the quickstart's layers
    labels = [each.label for each in page.button]
    assert labels == ["Search", "Run the quickstart", "Open the lessons", "New experiment", "Compare models"]


def test_recent_runs_show_status_curve_and_numbers(open_page: Open, store: Store):
    examples.failed(store)
    examples.running(store)
    examples.finished(store)
    said = texts(open_page("home"))
    assert all(word in said for word in ("finished", "running", "failed", "student 200/400"))
    assert said.count('aria-label="loss of') == 3


def test_the_quickstart_is_queued_and_shown(open_page: Open, store: Store):
    page = open_page("home")
    fault_free(button(page, "Run the quickstart").click().run())
    run, = store.runs()
    assert run.name == "quickstart"
    assert run.command == "python -m workbench distill assets/recipes/quickstart.yaml"
    assert page.title[0].value == "quickstart"
    assert page.query_params["run"] == run.id


def test_a_store_that_cannot_be_opened_is_reported_without_a_traceback(open_page: Open, home: Path):
    home.parent.joinpath("home").write_text("a file where a folder should be")
    page = open_page("home")
    assert "STILLHOUSE_HOME" in page.error[0].value


def test_sessions_are_linked_where_there_is_a_password(open_page: Open, monkeypatch: pytest.MonkeyPatch):
    def links() -> list[str]:
        return [element.proto.body for element in open_page("home").get("html") if "/sessions" in element.proto.body]

    assert links() == []
    monkeypatch.setenv("STILLHOUSE_PASSWORD", "copper kettle")
    assert links() == ['<a href="/sessions" target="_self">Sessions and log out</a>']
