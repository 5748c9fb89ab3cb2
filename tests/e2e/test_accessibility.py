"""Pages without serious findings of axe-core in either theme, by the keyboard alone through a lesson and a run, and at 200% zoom."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserType, Page, expect

from core.system import paths
from tests.app_process import AppProcess, end_runs
from tests.e2e import axe
from tests.e2e.conftest import ARGUMENTS, PATIENCE, TWICE, outside, settled
from workbench.store import Store
from workbench.store.records import ACTIVE

ADDRESSES = ["/", "/learn", "/learn?lesson=temperature", "/new", "/runs",
             "/sweep", "/chain", "/compare", "/models", "/claims", "/classroom"]


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory, user_home: Path) -> Path:
    """axe-core."""
    with pytest.MonkeyPatch.context() as patch:
        kept = user_home / axe.AXE.folder.relative_to(paths.home())  # fetched before, by hand
        patch.setenv("STILLHOUSE_HOME", str(tmp_path_factory.mktemp("axe")))
        return axe.fetched(kept)


@pytest.fixture(scope="module", params=["light", "dark"])
def themed(request: pytest.FixtureRequest, chromium: tuple[BrowserType, str]) -> Iterator[Page]:
    """A tab in a theme."""
    starter, executable = chromium
    others = starter.launch(executable_path=executable, args=ARGUMENTS, headless=True)
    page = others.new_context(viewport={"width": 1280, "height": 900}, color_scheme=request.param).new_page()
    page.set_default_timeout(PATIENCE)
    yield page
    others.close()


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_serious_finding(server: AppProcess, themed: Page, script: Path, address: str) -> None:
    themed.goto(server.url + address)
    settled(themed)
    expect(themed.get_by_role("heading").first).to_be_visible()
    found = axe.findings(themed, script)
    assert not found, "\n".join(found)


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


@pytest.mark.parametrize("address", ["/learn", "/learn?lesson=temperature", "/classroom"])
def test_twice_as_large_nothing_is_lost(server: AppProcess, page: Page, address: str) -> None:
    page.set_viewport_size(TWICE)
    page.goto(server.url + address)
    settled(page)
    expect(page.get_by_role("heading").first).to_be_visible()
    assert not outside(page)
