"""The chat in a real browser: two models answer side by side, one dies, the next question works."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlencode

import psutil
import pytest
from playwright.sync_api import FrameLocator, Page, expect

from tests.app_process import AppProcess
from tests.core.chat_models import save_chat_model

LOADED = re.compile("parameters · [0-9]+ layers · weights [0-9a-f]{12}")
ANSWERED = re.compile(r"first token [\d.]+ s · [\d.]+ tokens/s")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two that answer as long as they may."""
    root = tmp_path_factory.mktemp("models")
    return [str(save_chat_model(root / name, seed=seed, positions=4096, endless=True)) for seed, name in enumerate(("teacher", "pupil"))]


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model so deep that its longest answer lasts long enough to be interrupted."""
    return str(save_chat_model(tmp_path_factory.mktemp("deep") / "deep", layers=40, positions=4096, endless=True))


def open_chat(page: Page, server: AppProcess, models: list[str]) -> FrameLocator:
    page.goto(f"{server.url}/compare?{urlencode({'models': ','.join(models)})}")
    return page.frame_locator("iframe[title='Side-by-side chat']")


def ask(chat: FrameLocator, question: str) -> None:
    chat.locator("#question textarea").fill(question)
    chat.locator("#question textarea").press("Enter")


def set_longest_answer(chat: FrameLocator, tokens: int) -> None:
    """Once the models are there."""
    expect(chat.locator("#header1")).to_contain_text("weights")
    chat.get_by_text("Sampling, the same for every model").click()
    field = chat.get_by_label("number input for Max new tokens")
    field.fill(str(tokens))
    field.press("Tab")


def test_emptied_number_boxes_do_not_stop_the_chat(server: AppProcess, page: Page, models: list[str]) -> None:
    chat = open_chat(page, server, models)
    set_longest_answer(chat, 8)
    boxes = [*chat.get_by_label(re.compile("^number input for ")).all(), chat.get_by_label("Seed")]
    for box in boxes:
        box.fill("3")
        box.fill("")
        box.press("Tab")
    ask(chat, "Is it good?")
    for column in (0, 1):
        expect(chat.locator(f"#header{column}")).to_contain_text(ANSWERED)
    expect(chat.locator(".toast-wrap .error")).to_have_count(0)
    assert "Traceback" not in server.log.read_text()


def test_two_models_answer_and_the_lens_marks_where_they_differ(server: AppProcess, page: Page, models: list[str]) -> None:
    chat = open_chat(page, server, models)
    for column in (0, 1):
        expect(chat.locator(f"#header{column}")).to_contain_text(LOADED)
    set_longest_answer(chat, 24)
    chat.get_by_role("button", name="Write a positive one-line review.").click()
    for column in (0, 1):
        expect(chat.locator(f"#header{column}")).to_contain_text(ANSWERED)
        expect(chat.locator(f"#chat{column}")).to_contain_text("Write a positive one-line review.")
    expect(chat.locator("#examples")).to_be_hidden()

    chat.locator("#mark input").check()
    token = chat.locator("#lens1 summary").nth(2)
    expect(token).to_have_attribute("title", re.compile("nats"))
    token.click()
    expect(chat.locator("#lens1 details[open] tbody tr")).to_have_count(5)

    page.reload()
    expect(chat.locator("#chat1")).to_contain_text("Write a positive one-line review.")
    with page.expect_download() as download:
        chat.locator("#export").click()
    assert "### " in Path(download.value.path()).read_text(encoding="utf-8")
    chat.locator("#clear").click()
    expect(chat.locator("#chat1")).not_to_contain_text("Write a positive one-line review.")
    expect(chat.locator("#examples")).to_be_visible()


def test_the_pane_follows_the_theme_of_the_page(server: AppProcess, page: Page, models: list[str]) -> None:
    chat = open_chat(page, server, models)
    expect(chat.locator("#question textarea")).to_be_visible()
    for scheme, css_class in (("dark", re.compile(r"\bdark\b")), ("light", re.compile(r"^(?!.*\bdark\b)"))):
        page.emulate_media(color_scheme=scheme)  # as the system's own switch
        expect(chat.locator("body")).to_have_class(css_class)


def test_a_killed_engine_is_a_message_and_the_next_question_works(server: AppProcess, page: Page, models: list[str], deep: str) -> None:
    chat = open_chat(page, server, [deep, models[1]])
    set_longest_answer(chat, 1024)
    ask(chat, "Is it good?")
    expect(chat.locator("#header0")).to_contain_text("answering")
    engine, = (child for child in psutil.Process(server.process.pid).children(recursive=True)
               if "workbench.inference.server" in " ".join(child.cmdline()))
    engine.kill()
    expect(chat.locator("#chat0")).to_contain_text("SIGKILL")
    expect(chat.locator("#chat0")).to_contain_text("Ask again")

    ask(chat, "And now?")
    expect(chat.locator("#header0")).to_contain_text("answering")
    chat.locator("#stop").click()
    expect(chat.locator("#header0")).to_contain_text("stopped")


def test_a_question_sent_as_an_answer_ends_is_not_lost(server: AppProcess, page: Page, models: list[str]) -> None:
    chat = open_chat(page, server, models)
    set_longest_answer(chat, 16)
    frame = page.locator("iframe[title='Side-by-side chat']").element_handle().content_frame()
    for number in range(15):
        ask(chat, f"Question {number}?")
        for column in (0, 1):
            expect(chat.locator(f"#chat{column}")).to_contain_text(f"Question {number}?")
        frame.wait_for_function("() => [0, 1].every(n => document.getElementById(`header${n}`).innerText.includes('first token'))",
                                polling="raf")


def test_a_reference_that_leads_nowhere_is_a_message_in_its_pane(server: AppProcess, page: Page, models: list[str]) -> None:
    chat = open_chat(page, server, [models[0], "no-such-model"])
    expect(chat.locator("#header1")).to_contain_text("There is no model 'no-such-model'")
    ask(chat, "Is it good?")
    expect(chat.locator("#header0")).to_contain_text(ANSWERED)
    expect(chat.locator("#chat1")).to_contain_text("There is no model 'no-such-model'")
    assert page.locator("[data-testid=stException]").count() == 0
