"""The whole way of reading: a text, a local teacher's notes, a reader's review, training, and both readings side by side."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from tests.app_process import AppProcess, end_runs
from tests.e2e.conftest import settled
from tests.e2e.test_sweep import held, train
from tests.reading_teacher import ENTITY_PROMPT, MISREAD, NOTES, QUESTION_PROMPT, TEXT, save_reading_student, save_reading_teacher
from workbench.store import Store

PHONE: ViewportSize = {"width": 390, "height": 844}


def write(page: Page, label: str, text: str) -> None:
    page.get_by_role("textbox", name=label).fill(text)
    page.keyboard.press("Control+Enter")
    settled(page)


def choose(page: Page, label: str, text: str) -> None:
    box = page.get_by_role("combobox", name=label)
    box.fill(text)
    box.press("Enter")
    settled(page)


def test_a_text_is_noted_reviewed_trained_on_and_read_together(
        server: AppProcess, page: Page, built_once: Callable[[str, Callable[[Path], object]], Path],
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STILLHOUSE_HOME", str(server.home))
    store = Store(server.home / "store.sqlite")
    ahead = held(store)  # what is queued is trained in this process, which has imported the libraries already
    teacher, student = built_once("reading-teacher", save_reading_teacher), built_once("reading-student", save_reading_student)
    page.goto(f"{server.url}/reading")
    settled(page)
    write(page, "Your text", TEXT)
    choose(page, "Reading teacher", str(teacher))
    page.get_by_text("Prompts", exact=True).click()
    write(page, "Prompt for entities", ENTITY_PROMPT)
    write(page, "Prompt for questions", QUESTION_PROMPT)
    page.get_by_role("button", name="Take notes").click()

    # One of the five paragraphs is held out. What the teacher got wrong is said, with the reason.
    figures = page.get_by_test_id("stMetric")
    expect(figures.filter(has_text="Answers")).to_contain_text("40")
    expect(figures.filter(has_text="Sentences")).to_contain_text("20")
    expect(figures.filter(has_text="Failing validation")).to_contain_text("5%")
    expect(page.get_by_role("progressbar")).to_have_count(0)
    settled(page)
    boxes = page.locator("[class*=st-key-reading-sentence]")
    expect(boxes).to_have_count(20)
    first = boxes.filter(has_text=NOTES[0][0][0])
    expect(first.locator("mark")).to_have_text(["Anna Bell", "Glass Orchard"])
    expect(first.locator("u")).to_have_text("Anna Bell")
    wrong = boxes.filter(has_text=MISREAD)
    expect(wrong.locator("mark")).to_have_count(0)
    expect(wrong).to_contain_text("entity not in its sentence")

    first.get_by_role("button", name="Review").click()
    page.get_by_role("button", name="Reject").first.click()
    expect(first).to_contain_text("rejected by a reader")
    settled(page)
    expect(first.locator("mark")).to_have_count(0)
    expect(page.get_by_text("1 × rejected by a reader")).to_be_visible()
    page.keyboard.press("Escape")

    choose(page, "Student", str(student))
    steps = page.get_by_role("spinbutton", name="Steps")
    steps.fill("8")
    steps.press("Enter")
    settled(page)
    page.get_by_role("button", name="Start training").click()
    expect(page).to_have_url(re.compile(r"/run\?run="))
    train(store)
    store.finish(ahead.id, "stopped")
    page.get_by_role("link", name="Read together").or_(page.get_by_role("button", name="Read together")).click()
    expect(page.get_by_role("heading", name="Read together")).to_be_visible()
    settled(page)

    # The run kept a few sentences; the one whose entities were rejected is none of those with both notes.
    views = page.locator("[class*=st-key-reading-together]")
    expect(views.first).to_contain_text("Student after")
    expect(views.filter(has_text=NOTES[0][0][0])).to_have_count(0)

    # A paragraph is read now, by the student as it was and as it is.
    page.get_by_role("combobox", name="Paragraph").click()
    page.get_by_role("option", name=NOTES[2][0][0]).click()
    settled(page)
    page.get_by_role("button", name="Read", exact=True).click()
    expect(page.get_by_role("button", name="Read", exact=True)).to_be_enabled()
    settled(page)
    expect(views).to_have_count(len(NOTES[2]))
    expect(page.get_by_text(re.compile(r"Teacher: \d+ of 10 notes hold · Student before: \d+ of 10 notes hold · "
                                       r"Student after: \d+ of 10 notes hold"))).to_be_visible()
    expect(views.first.locator("mark").first).to_have_text("Nora")  # by the teacher
    page.set_viewport_size(PHONE)
    settled(page)
    assert page.locator("[data-testid=stMain]").evaluate("main => main.scrollWidth - main.clientWidth") <= 0
    expect(page.locator("[data-testid=stException]")).to_have_count(0)
    end_runs(server.home)
