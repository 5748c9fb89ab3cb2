"""What a newcomer does first: the quickstart, its live curves, a reload that loses nothing, and a question to teacher and student."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.app_process import AppProcess, end_runs
from tests.e2e.conftest import PATIENCE, settled

# Points of the first curve that is drawn; a figure stands in the page before it has data.
LOSS_POINTS = "() => document.querySelector('.live-plotly.js-plotly-plot')?._fullData?.[0]?.x?.length ?? 0"
PRELUDE = 3 * PATIENCE  # torch is imported, 6,000 reviews are packed and the run is rehearsed before its first step


def test_quickstart_from_the_page_with_a_reload_and_a_question(server: AppProcess, page: Page) -> None:
    page.goto(server.url)
    settled(page)
    page.get_by_role("button", name="Run the quickstart").click()
    expect(page).to_have_url(re.compile(r"/run\?run="))

    page.wait_for_function(LOSS_POINTS, timeout=PRELUDE)
    early = page.evaluate(LOSS_POINTS)
    page.wait_for_function(f"() => ({LOSS_POINTS})() > {early}")

    page.reload()
    settled(page)
    page.wait_for_function(f"() => ({LOSS_POINTS})() > {early}")
    expect(page.locator("[data-testid=stException]")).to_have_count(0)

    # The untrained student is available during the run.
    page.goto(f"{server.url}/compare?models=house-chat,quickstart:before")
    chat = page.frame_locator("iframe[title='Side-by-side chat']")
    for column in (0, 1):
        expect(chat.locator(f"#header{column}")).to_contain_text(re.compile("weights [0-9a-f]{12}"))
    end_runs(server.home)  # else it would train beside the answers, and beside the tests that follow
    chat.locator("#question textarea").fill("Write a positive one-line review.")
    chat.locator("#question textarea").press("Enter")
    for column in (0, 1):
        expect(chat.locator(f"#header{column}")).to_contain_text(re.compile(r"first token [\d.]+ s"))
        expect(chat.locator(f"#chat{column}")).to_contain_text("Write a positive one-line review.")
    expect(page.locator("[data-testid=stException]")).to_have_count(0)
