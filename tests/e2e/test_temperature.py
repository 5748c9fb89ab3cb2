"""The slider of the page Temperature, moved in a real browser; its numbers are those of the logits."""

from __future__ import annotations

import math

import numpy as np
import torch
from playwright.sync_api import Page, expect

from core.classification.examples import example_logits
from core.models import catalog
from tests.app_process import AppProcess
from tests.e2e.conftest import settled
from workbench.screens.temperature.figure import HIGHEST, LOWEST

STEPS = 1000  # of the slider


def expected(temperature: float) -> tuple[float, float]:
    """The entropy and the highest probability of the first example."""
    logits = np.array(example_logits("digit", "3", catalog.load("house-digits", dtype=torch.float32)).logits)
    powers = np.exp((logits - logits.max()) / temperature)
    p = powers / powers.sum()
    return float(-(p * np.log(p)).sum()), float(p.max())


def test_entropy_and_top_probability_follow_the_slider_without_the_server(page: Page, server: AppProcess) -> None:
    page.goto(f"{server.url}/temperature?example=digit&digit=3")
    settled(page)
    slider = page.get_by_role("slider", name="Temperature")
    expect(slider).to_be_visible()
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    for temperature in (0.5, 1.0, 4.0, 20.0, 100.0):
        place = round(STEPS * math.log(temperature / LOWEST) / math.log(HIGHEST / LOWEST))
        slider.evaluate("(element, place) => { element.value = place; element.dispatchEvent(new Event('input', {bubbles: true})); }", place)
        exact = LOWEST * (HIGHEST / LOWEST) ** (place / STEPS)
        expect(page.locator(".temperature .value")).to_have_text(f"{exact:#.3g}".rstrip("."))
        entropy, top = expected(exact)
        shown = [float(page.locator(f".temperature .{name}").inner_text()) for name in ("entropy", "top")]
        np.testing.assert_allclose(shown, (entropy, top), rtol=6e-4)
    assert not sent
    first = page.locator(".temperature table tbody tr").first.locator("td").first
    expect(first).to_have_text(example_logits("digit", "3", catalog.load("house-digits", dtype=torch.float32)).labels[0])
    bars = page.evaluate("document.querySelector('.temperature .plot').data[1].y")
    np.testing.assert_allclose(max(bars), expected(exact)[1], rtol=1e-6)
