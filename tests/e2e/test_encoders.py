"""Blanks and classes in a real browser: two models of each kind side by side, a mistake beside its field, the table, the links."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page, expect

from tests.app_process import AppProcess
from tests.core.masked_models import classifier, masked_model, save
from tests.e2e.conftest import settled


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    root = tmp_path_factory.mktemp("encoders")
    return {"blanks": [str(save(masked_model(4), root / "teacher")), str(save(masked_model(2, seed=1), root / "student"))],
            "classes": [str(save(classifier(), root / "judge")), str(save(classifier(seed=1), root / "pupil"))]}


def test_two_models_fill_the_same_blank(server: AppProcess, page: Page, models: dict[str, list[str]]) -> None:
    page.goto(f"{server.url}/compare?{urlencode({'models': ','.join(models['blanks'])})}")
    settled(page)
    expect(page.get_by_role("radio", name="Fill-mask")).to_be_checked()
    expect(page.get_by_role("figure", name=re.compile("Blank 1, Student: "))).to_be_visible()
    page.wait_for_function("() => document.querySelectorAll('.live-plotly .bars .point').length === 20")
    expect(page.get_by_text(re.compile(r"KL\(teacher ‖ student\) [\d.]+ nats"))).to_be_visible()
    expect(page.get_by_text(re.compile(r"weights [0-9a-f]{12} · [\d.]+ ms"))).to_have_count(2)

    field = page.get_by_role("textbox", name="Sentence")
    field.fill("There is no gap.")
    field.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Write [MASK] or ___ in place of a word.")
    expect(page.locator(".live-plotly")).to_have_count(0)

    page.get_by_role("button", name="The acting was [MASK], but the plot was [MASK].").click()
    expect(page.get_by_role("alert")).to_have_count(0)
    page.wait_for_function("() => document.querySelectorAll('.live-plotly .bars .point').length === 40")
    expect(page).to_have_url(re.compile(r"text=The\+acting"))
    page.get_by_text("The words of blank 2 as a table").click()
    expect(page.get_by_role("table", name="Words for blank 2")).to_contain_text("student's")

    page.reload()
    expect(page.get_by_role("textbox", name="Sentence")).to_have_value("The acting was [MASK], but the plot was [MASK].")
    expect(page.locator("[data-testid=stException]")).to_have_count(0)


def test_two_classifiers_judge_the_same_text_and_the_chat_leads_to_them(server: AppProcess, page: Page,
                                                                        models: dict[str, list[str]]) -> None:
    page.goto(f"{server.url}/compare?{urlencode({'pane': 'chat', 'models': models['classes'][0]})}")
    settled(page)
    expect(page.get_by_role("alert")).to_contain_text("classifies texts")
    page.get_by_role("button", name="Classify with judge").click()
    expect(page).to_have_url(re.compile("pane=classes"))
    expect(page.get_by_role("figure", name=re.compile("Model: negative [0-9.]+%, positive"))).to_be_visible()

    page.goto(f"{server.url}/compare?{urlencode({'models': ','.join(models['classes'])})}")
    settled(page)
    expect(page.get_by_text(re.compile("Agrees with the teacher|Disagrees"))).to_be_visible()
    page.wait_for_function("() => document.querySelectorAll('.live-plotly .bars .point').length === 4")
    page.get_by_role("textbox", name="Text", exact=True).fill("bad " * 60)
    page.get_by_role("button", name="Classify", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("The model reads 48 at most")
    expect(page.locator("[data-testid=stException]")).to_have_count(0)
