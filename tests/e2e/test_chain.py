"""A size from the slider in a real browser: a model is created, then compared with its anchors in the chat."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Page, expect

from tests.app_process import AppProcess
from tests.e2e.conftest import settled

ANSWERED = re.compile(r"first token [\d.]+ s")


def test_the_slider_makes_a_size_that_answers_beside_its_neighbours(server: AppProcess, page: Page, tiny_chain: Path) -> None:
    page.goto(f"{server.url}/chain?{urlencode({'chain': str(tiny_chain)})}")
    settled(page)
    slider = page.get_by_role("slider", name="Parameters")
    expect(slider).to_be_visible()
    before = page.url
    slider.focus()
    page.keyboard.press("Home")
    expect(page.get_by_text("This is anchor 2 itself.")).to_be_visible()
    expect(page).not_to_have_url(before)
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    settled(page)  # a key press during a redraw has no slider to move
    slider.focus()
    page.keyboard.press("End")
    expect(page.get_by_text("This is anchor 0 itself.")).to_be_visible()
    expect(page.get_by_role("button", name="Create model")).to_be_disabled()
    settled(page)
    slider.focus()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_text("Between anchor 0")).to_be_visible()
    settled(page)

    page.get_by_role("button", name="Create model").click()
    expect(page.get_by_role("cell", name="this model")).to_be_visible()
    page.get_by_role("button", name="Chat with this model and its anchors").click()
    expect(page).to_have_url(re.compile("/compare"))
    chat = page.frame_locator("iframe[title='Side-by-side chat']")
    for column in range(3):
        expect(chat.locator(f"#header{column}")).to_contain_text(re.compile("weights [0-9a-f]{12}"))
    chat.locator("#question textarea").fill("Is it good?")
    chat.locator("#question textarea").press("Enter")
    for column in range(3):
        expect(chat.locator(f"#header{column}")).to_contain_text(ANSWERED)
    expect(page.locator("[data-testid=stException]")).to_have_count(0)
    page.go_back()
    expect(page.get_by_role("heading", name="Chain", exact=True)).to_be_visible()


def test_back_takes_the_slider_along(server: AppProcess, page: Page, tiny_chain: Path) -> None:
    page.goto(f"{server.url}/chain?{urlencode({'chain': str(tiny_chain)})}")
    settled(page)
    slider, addresses = page.get_by_role("slider", name="Parameters"), []
    for key in ("End", "Home"):
        slider.focus()
        page.keyboard.press(key)
        expect(page.get_by_text(f"This is anchor {0 if key == 'End' else 2} itself.")).to_be_visible()
        settled(page)
        addresses.append(page.url)
    page.go_back()
    expect(page.get_by_text("This is anchor 0 itself.")).to_be_visible()
    settled(page)
    assert page.url == addresses[0]
    page.go_forward()
    expect(page.get_by_text("This is anchor 2 itself.")).to_be_visible()
