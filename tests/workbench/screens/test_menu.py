"""The menu: every page has a place, and a participant of a class has only theirs."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import streamlit as st

from core.system.paths import PROJECT
from workbench.classroom import gate
from workbench.screens import menu
from workbench.screens.classroom import seats
from workbench.screens.shared import share
from workbench.sharing.restrictions import SECTIONS, Restrictions


def names(sections: dict) -> set[str]:
    return {page.name for pages in sections.values() for page in pages}


def shown(sections: dict) -> set[str]:
    return {page.name for pages in sections.values() for page in pages if page.visibility == "visible"}


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seats, "participant_id", lambda: None)
    monkeypatch.setattr(share, "fixed", Restrictions)
    # A page of Streamlit knows its address only while a script runs.
    monkeypatch.setattr(st, "Page", lambda path, **look: SimpleNamespace(name=path.stem, **look))


def test_every_page_has_a_place():
    files = {path.stem for path in (PROJECT / "pages").glob("*.py")}
    assert names(menu.sections()) | {name for name, _ in menu.SEAT} == files


def test_the_sections_are_those_that_a_link_may_hide(monkeypatch: pytest.MonkeyPatch):
    assert tuple(filter(None, menu.MENU)) == SECTIONS
    before = menu.sections()
    monkeypatch.setattr(share, "fixed", lambda: Restrictions(hidden=("Models", "Train")))
    after = menu.sections()
    assert names(after) == names(before)
    assert shown(before) - shown(after) == {name for section in ("Models", "Train") for name, _ in menu.MENU[section]}


def test_a_participant_has_their_pages_and_no_other(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(seats, "participant_id", lambda: "somebody")
    pages, = menu.sections().values()
    assert {page.name for page in pages} == {name for name, _ in menu.SEAT}
    assert set(gate.PAGES) == {"", *(name for name, _ in menu.SEAT)}


def test_the_section_that_one_is_in_is_known(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(st, "Page", lambda path, **look: SimpleNamespace(name=path.stem, url_path=path.stem, **look))
    found = menu.sections()
    pages = {page.url_path: page for each in found.values() for page in each}
    titles = ["Home", *filter(None, menu.MENU)]  # the items of the menu
    places = {name: menu.current_section(found, page) for name, page in pages.items()}
    assert places["home"] is None and titles[places["tune"] - 1] == "Train" and titles[places["claims"] - 1] == "Evidence"
    assert titles[places["run"] - 1] == "Runs" and titles[places["board"] - 1] == "Learn", "pages without an item of their own"
    monkeypatch.setattr(share, "fixed", lambda: Restrictions(hidden=("Learn",)))
    assert menu.current_section(menu.sections(), pages["tune"]) == places["tune"] - 1, "what is hidden is no item"
