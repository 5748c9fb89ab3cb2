"""A real server and a real browser: what the tests of this folder share.

The server is started once, on a free port, with a home of its own; the browser is the system's Chromium. Without one the
tests are skipped, except where CI is set: there a missing browser is a failure.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
ARGUMENTS = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
             "--disable-sync", *(["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else [])]
SETTLED = "[data-testid=stApp][data-test-connection-state=CONNECTED][data-test-script-state=notRunning]"


@dataclass(frozen=True)
class Server:
    """A running app: its address, its home folder and its output."""

    url: str
    home: Path
    log: Path


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The app, as `make run` starts it."""
    folder = tmp_path_factory.mktemp("app")
    home, log = folder / "home", folder / "log.txt"
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", "workbench"], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output,
                                   stderr=subprocess.STDOUT, start_new_session=True,
                                   env={**os.environ, "PORT": "0", "STILLHOUSE_HOME": str(home)})
    try:
        yield Server(_address(process, log), home, log)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise


def _address(process: subprocess.Popen, log: Path, seconds: float = 60) -> str:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        if found := re.search(r"http://\S+", log.read_text()):
            return found[0]
        time.sleep(0.05)
    raise AssertionError(f"the app did not start:\n{log.read_text()}")


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    """Chromium with a fresh profile."""
    executable = os.environ.get("CHROME") or next(filter(None, map(shutil.which, NAMES)), None)
    if executable is None:
        reason = "no Chromium found: install it (Debian: apt-get install chromium) or name it in CHROME"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(tmp_path_factory.mktemp("profile")), executable_path=executable, args=ARGUMENTS, headless=True,
            viewport={"width": 1360, "height": 900})
        context.set_default_timeout(30_000)
        yield context
        context.close()


@pytest.fixture
def page(browser: BrowserContext) -> Iterator[Page]:
    """A new tab."""
    tab = browser.new_page()
    yield tab
    tab.close()


def settled(page: Page) -> None:
    """Wait until Streamlit is connected and no script runs."""
    page.wait_for_selector(SETTLED)
