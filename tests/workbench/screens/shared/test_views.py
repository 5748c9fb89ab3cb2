from __future__ import annotations

import pytest

from workbench.screens.shared import views


def test_plain_text_is_no_markup():
    assert views.plain("![seen](https://example.org/x.png) a_b *c* $x$ 3 blocks") == (
        r"\!\[seen\](https\://example.org/x.png) a\_b \*c\* \$x\$ 3 blocks")
    assert views.plain(r"\![seen](x)") == r"\\\!\[seen\](x)"


def test_a_message_keeps_its_markup_but_no_image():
    assert views.no_images("**No folder ![](https://example.org/x.png).**") == r"**No folder !\[](https://example.org/x.png).**"


@pytest.mark.parametrize(("text", "shown"), [("One.\nTwo.", "One."), ("", "(nothing)"), ("\n\n  Say *hi*", r"Say \*hi\*")])
def test_the_first_line_of_anything(text: str, shown: str):
    assert views.first_line(text) == shown


@pytest.mark.parametrize(("value", "name", "text"), [
    (0.7751, "eval/agreement", "77.5%"), (1234.5, "eval/perplexity", "1,234"), (25.912, "eval/perplexity", "25.91"),
    (None, "loss", "–"), (float("nan"), "loss", "–"), (float("inf"), "eval/perplexity", "–"), (-0.5, "loss", "-0.5")])
def test_numbers_as_people_read_them(value: float | None, name: str, text: str):
    assert views.number(value, name) == text


@pytest.mark.parametrize(("seconds", "shown"), [(3, "just now"), (-60, "just now"), (300, "5 min ago"), (90_000, "09 Mar 2001"),
                                                (-400 * 86_400, "14 Apr 2002")])
def test_moments_of_a_clock_that_was_ahead(seconds: float, shown: str, monkeypatch: pytest.MonkeyPatch):
    now = 984_128_400.0 + 86_400  # 10 March 2001
    monkeypatch.setattr(views.time, "time", lambda: now)
    monkeypatch.setattr(views.time, "localtime", views.time.gmtime)
    assert views.ago(now - seconds) == shown
