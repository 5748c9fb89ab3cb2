"""The shell around the pages: every address opens, no requests to other hosts, every page behind the password."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.app_process import AppProcess, running_app
from tests.e2e.conftest import SETTLED, measure_overflow, settled, widest_overflow

ADDRESSES = ["/", "/learn", "/learn?lesson=temperature", "/new", "/chain", "/runs", "/run", "/compare", "/device", "/models", "/claims",
             "/checks"]
MENU = {"Learn": ["Lessons", "Class"],
        "Train": ["New experiment", "Fine-tune", "Chain", "Temperature", "Ensemble", "Specialists", "Reading"],
        "Runs": ["All runs", "Recipes over seeds"],
        "Compare": ["Side by side", "On device", "Deploy"], "Models": ["Catalogue", "Teacher signals"], "Evidence": ["Claims", "Ablation"]}
PASSWORD = "copper kettle"
STYLE_SCRIPT = re.compile(r"/static/js/Html\.")  # draws what `st.html` sent, the pages' own style sheet among it


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_page_opens_never_wider_than_a_phone_and_asks_no_other_host(server: AppProcess, page: Page, address: str) -> None:
    """Not even wider before its style sheet, which comes with a script of its own, and its figures are there."""
    requested: set[str] = set()
    page.on("request", lambda request: requested.add(request.url))
    waiting: list[Route] = []
    page.route(STYLE_SCRIPT, lambda route: waiting.append(route))
    page.set_viewport_size({"width": 390, "height": 844})
    measure_overflow(page)
    page.goto(server.url + address, wait_until="commit")
    page.wait_for_selector(SETTLED)
    expect(page.get_by_role("heading").first).to_be_visible()
    if address == "/chain":
        expect(page.get_by_role("img", name=re.compile("^Lineage"))).to_be_visible()  # the widest picture of all
    assert widest_overflow(page) <= 1
    assert waiting, "the style sheet was held back"
    for route in waiting:
        route.continue_()
    page.unroute(STYLE_SCRIPT)
    settled(page)
    assert widest_overflow(page) <= 1
    expect(page.get_by_test_id("stMainMenuButton")).to_be_in_viewport(ratio=1)
    expect(page.locator("[data-testid=stException]")).to_have_count(0)
    assert all(url.startswith((server.url, "data:", "blob:")) for url in requested)


def test_the_menu_leads_everywhere(server: AppProcess, page: Page) -> None:
    page.goto(server.url)
    header = page.get_by_test_id("stHeader")
    for section, names in MENU.items():
        for name in names:
            header.get_by_role("button", name=section, exact=True).click()
            page.get_by_role("menuitem", name=name, exact=True).click()
            settled(page)
            expect(page).to_have_title(f"{name} · Stillhouse")
            expect(page.locator("[data-testid=stException]")).to_have_count(0)
    page.keyboard.press("Control+k")
    page.get_by_role("dialog").get_by_role("combobox").fill("Half the depth")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("lesson=half-the-depth"))
    expect(page.get_by_role("heading", name="Half the depth")).to_be_visible()


@pytest.fixture
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppProcess]:
    """The app with a password."""
    with running_app(tmp_path_factory.mktemp("guarded"), STILLHOUSE_PASSWORD=PASSWORD) as app:
        yield app


def test_the_password_opens_pages_websocket_and_chat(guarded: AppProcess, browser: BrowserContext, page: Page) -> None:
    for address in (*ADDRESSES, "/chat/"):
        page.goto(guarded.url + address)
        expect(page).to_have_url(re.compile("/login"))
    page.goto(f"{guarded.url}/runs")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("not the password")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(f"{guarded.url}/runs")
    settled(page)
    expect(page.get_by_role("heading", name="Runs").first).to_be_visible()
    assert browser.request.get(f"{guarded.url}/chat/").ok


def test_the_form_scrolls_to_a_new_error_and_focuses_its_field(server: AppProcess, page: Page) -> None:
    page.goto(f"{server.url}/new?recipe=quickstart&set=data.block_length%3D4096")
    settled(page)
    page.get_by_role("button", name="Show field").click()
    message = page.locator(".st-key-error-data-block_length")
    expect(message).to_be_in_viewport()
    expect(page.get_by_role("spinbutton", name="Block length")).to_be_focused()
    expect(page.get_by_role("spinbutton", name="Block length")).to_have_value("4096")
