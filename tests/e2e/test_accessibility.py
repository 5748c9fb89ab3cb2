"""Pages without serious findings of axe-core in either theme, by the keyboard alone through a lesson and a run, and at 200% zoom."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from core.system import paths
from tests.app_process import AppProcess, end_runs
from tests.e2e import axe
from tests.e2e.conftest import check_nothing_lost, settled
from workbench.store import Store
from workbench.store.records import ACTIVE

ADDRESSES = ["/", "/learn", "/learn?lesson=temperature", "/new", "/runs",
             "/sweep", "/chain", "/compare", "/models", "/claims", "/classroom"]
ENLARGED = ("/learn", "/learn?lesson=temperature", "/classroom")

# The page has taken up the theme, and no colour is on its way from one to the other.
IN_THEME = """scheme => { const app = document.querySelector("[data-testid=stApp]");
  return app && getComputedStyle(app).colorScheme === scheme
    && !document.getAnimations().some(each => each instanceof CSSTransition && each.playState === "running"); }"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory, user_home: Path) -> Path:
    """axe-core."""
    with pytest.MonkeyPatch.context() as patch:
        kept = user_home / axe.AXE.folder.relative_to(paths.home())  # fetched before, by hand
        patch.setenv("STILLHOUSE_HOME", str(tmp_path_factory.mktemp("axe")))
        return axe.fetched(kept)


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_serious_finding_in_either_theme_and_lessons_lose_nothing_twice_as_large(server: AppProcess, page: Page, script: Path,
                                                                                address: str) -> None:
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto(server.url + address)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # as the system's own switch, with which an open page changes too
        page.wait_for_function(IN_THEME, arg=scheme)
        settled(page)
        expect(page.get_by_role("heading").first).to_be_visible()
        found = axe.findings(page, script)
        assert not found, "\n".join([scheme, *found])
    if address in ENLARGED:
        check_nothing_lost(page)


def tab_to(page: Page, wanted: str) -> None:
    """Press Tab until the button of that name has the focus, and shows that it has."""
    name = ""
    for _ in range(80):
        name = page.evaluate("document.activeElement.tagName === 'BUTTON' ? document.activeElement.innerText : ''")
        outlined = page.evaluate("(style => style.outlineStyle + style.boxShadow)(getComputedStyle(document.activeElement))")
        if wanted in name:
            break
        page.keyboard.press("Tab")
    assert wanted in name and outlined != "nonenone"


def test_a_guess_is_committed_and_a_run_started_and_stopped_by_the_keyboard_alone(server: AppProcess, page: Page) -> None:
    page.goto(f"{server.url}/learn?lesson=half-the-depth")
    settled(page)
    page.get_by_role("button", name="Commit this guess").first.wait_for()
    page.locator("body").press("Tab")
    tab_to(page, "Commit this guess")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Committed.").first).to_be_visible()
    settled(page)
    tab_to(page, "Train")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Run it again").first).to_be_disabled()
    begun = Store(server.home / "store.sqlite").runs(status=("queued", *ACTIVE))  # others have ended that other files left
    assert begun
    for run in begun:
        page.goto(f"{server.url}/run?run={run.id}")
        expect(page.get_by_role("heading", name=run.name)).to_be_visible()
        settled(page)
        page.locator("body").press("Tab")
        tab_to(page, "Stop")
        page.keyboard.press("Enter")
        expect(page.get_by_text(re.compile("stopped|stopping", re.IGNORECASE)).first).to_be_visible()
    end_runs(server.home)  # a run hears a stop after what prepares it, which would continue beside the tests that follow
