"""A real server and a real browser: what the tests of this folder share.

The server is started once, on a free port, with a home of its own, whose runs end with the tests; the browser is the
system's Chromium. Without one the tests are skipped, except where CI is set: there a missing browser is a failure.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, BrowserType, Page, ViewportSize, expect, sync_playwright

from tests.app_process import AppProcess, end_runs, running_app

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
ARGUMENTS = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
             "--disable-sync", *(["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else [])]
PATIENCE = 240_000  # milliseconds; a busy machine is slow, not wrong, and the first question starts the engine
SETTLED = "[data-testid=stApp][data-test-connection-state=CONNECTED][data-test-script-state=notRunning]"
# Streamlit shows a skeleton where the code of an element is still being loaded.
DRAWN = """() => !document.querySelector("[data-testid=stSkeleton]")
  && [...document.querySelectorAll(".live-plotly")].every(figure => !figure.clientWidth
    || (figure._fullLayout && Math.abs(figure._fullLayout.width - figure.clientWidth) <= 1))"""


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppProcess]:
    """The app, as `make run` starts it."""
    with running_app(tmp_path_factory.mktemp("app")) as app:
        yield app
    end_runs(app.home)


def find_browser() -> str | None:
    """The system's Chromium, or what CHROME names."""
    return os.environ.get("CHROME") or next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="session")
def chromium() -> Iterator[tuple[BrowserType, str]]:
    """What starts Chromium, and where it lies."""
    executable = find_browser()
    if executable is None:
        reason = "no Chromium found: install it (Debian: apt-get install chromium) or name it in CHROME"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    with sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE)
        yield playwright.chromium, executable


@pytest.fixture(scope="session")
def browser(chromium: tuple[BrowserType, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    """Chromium with a fresh profile."""
    starter, executable = chromium
    context = starter.launch_persistent_context(str(tmp_path_factory.mktemp("profile")), executable_path=executable, args=ARGUMENTS,
                                                headless=True, viewport={"width": 1360, "height": 900})
    context.set_default_timeout(PATIENCE)
    yield context
    context.close()


@pytest.fixture
def people(chromium: tuple[BrowserType, str]) -> Iterator[Callable[[], Page]]:
    """Makes a tab of somebody else, with cookies of their own, at each call."""
    starter, executable = chromium
    others = starter.launch(executable_path=executable, args=ARGUMENTS, headless=True)

    def somebody() -> Page:
        context = others.new_context(viewport={"width": 1280, "height": 800})
        context.set_default_timeout(PATIENCE)
        return context.new_page()

    yield somebody
    others.close()


@pytest.fixture
def page(browser: BrowserContext) -> Iterator[Page]:
    """A new tab."""
    tab = browser.new_page()
    yield tab
    tab.close()


def settled(page: Page) -> None:
    """Wait until Streamlit is connected, no script runs, and every element that was sent is drawn, figures at their own width."""
    page.wait_for_selector(SETTLED)
    page.wait_for_function(DRAWN)


def measure_overflow(page: Page) -> None:
    """Keep, from the first paint on, the most pixels by which the page was ever wider than its window: `widest_overflow`."""
    page.add_init_script("""
        window.widestOverflow = 0;
        (function look() {
          const main = document.querySelector("[data-testid=stMain]");
          if (main) window.widestOverflow = Math.max(window.widestOverflow, main.scrollWidth - main.clientWidth);
          requestAnimationFrame(look);
        })();""")


def widest_overflow(page: Page) -> int:
    """The pixels that `measure_overflow` has seen, the frame that is shown now included."""
    return page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(window.widestOverflow))))")


def check_nothing_lost(page: Page) -> None:
    """Make an open page twice as large for a moment, as a browser's zoom does: nothing is out of reach."""
    before = page.viewport_size
    assert before is not None
    page.set_viewport_size(TWICE)
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    settled(page)
    assert not outside(page), page.url
    page.set_viewport_size(before)


TWICE: ViewportSize = {"width": 640, "height": 450}  # a window of 1280 x 900 at 200% zoom


def outside(page: Page) -> list[str]:
    """Return what cannot be reached at this width: controls outside the window that lie in no box that scrolls, and not in the menu."""
    return page.evaluate("""() => [...document.querySelectorAll("button, a[href], input, [role=slider], [role=radio]")].filter(element => {
      const box = element.getBoundingClientRect();
      if (!box.width || !box.height || element.matches("[href='#stMain']")) return false;
      if (element.closest(".wide, [data-testid=stCode], [data-testid=stSidebar], [aria-hidden=true]")) return false;
      return box.right > document.documentElement.clientWidth + 1 || box.left < -1;
    }).map(element => element.outerHTML.slice(0, 200))""")
