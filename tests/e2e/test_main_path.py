"""What a newcomer does first: the quickstart, its live curves, a reload on the way, and both models asked side by side."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.app_process import AppProcess
from tests.e2e.conftest import settled

MINUTES = 60_000  # milliseconds
# Points of the first curve that is drawn; a figure stands in the page before it has data.
LOSS_POINTS = "() => document.querySelector('.live-plotly.js-plotly-plot')?._fullData?.[0]?.x?.length ?? 0"


@pytest.mark.timeout(1200)
def test_quickstart_from_the_page_to_the_chat(server: AppProcess, page: Page) -> None:
    page.goto(server.url)
    settled(page)
    page.get_by_role("button", name="Run the quickstart").click()
    expect(page).to_have_url(re.compile(r"/run\?run="))

    page.wait_for_function(LOSS_POINTS, timeout=3 * MINUTES)
    early = page.evaluate(LOSS_POINTS)
    page.wait_for_function(f"() => ({LOSS_POINTS})() > {early} + 3", timeout=2 * MINUTES)

    page.reload()
    settled(page)
    page.wait_for_function(f"() => ({LOSS_POINTS})() > {early}", timeout=2 * MINUTES)

    compare = page.get_by_role("button", name="Compare in chat")
    expect(compare).to_be_visible(timeout=10 * MINUTES)
    expect(page.get_by_text("Control", exact=False).first).to_be_visible()
    compare.click()
    expect(page).to_have_url(re.compile(r"/compare\?.*models=house-chat"))

    pane = page.frame_locator("iframe[title='Side-by-side chat']")
    for index, blocks in enumerate(("house-chat", "quickstart")):
        expect(pane.locator(f"#header{index}")).to_contain_text(re.compile(rf"{blocks}.*parameters", re.DOTALL | re.IGNORECASE),
                                                                timeout=2 * MINUTES)
    pane.locator("#question textarea").fill("Write a positive one-line review.")
    pane.locator("#question textarea").press("Enter")
    for index in range(3):
        expect(pane.locator(f"#header{index}")).to_contain_text(re.compile(r"tokens/s"), timeout=2 * MINUTES)
        expect(pane.locator(f"#chat{index} .bot .message, #chat{index} .bot")).to_contain_text(re.compile(r"\w{2,}"))
    expect(page.locator("[data-testid=stException]")).to_have_count(0)
