"""Pages without serious findings of axe-core in either theme, and by the keyboard alone through a lesson."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserType, Page, expect

from core.system import paths
from tests.app_process import AppProcess
from tests.e2e import axe
from tests.e2e.conftest import ARGUMENTS, PATIENCE, settled

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


def test_a_guess_is_committed_by_the_keyboard_alone(server: AppProcess, page: Page) -> None:
    page.goto(f"{server.url}/learn?lesson=half-the-depth")
    settled(page)
    page.get_by_role("button", name="Commit this guess").first.wait_for()
    page.locator("body").press("Tab")
    name = ""
    for _ in range(60):
        name = page.evaluate("document.activeElement.tagName === 'BUTTON' ? document.activeElement.innerText : ''")
        outlined = page.evaluate("(style => style.outlineStyle + style.boxShadow)(getComputedStyle(document.activeElement))")
        if "Commit this guess" in name:
            break
        page.keyboard.press("Tab")
    assert "Commit this guess" in name and outlined != "nonenone"
    page.keyboard.press("Enter")
    expect(page.get_by_text("Committed.").first).to_be_visible()
