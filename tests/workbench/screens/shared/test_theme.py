"""Colours are readable, and the pages' own are those of the figures."""

from __future__ import annotations

import tomllib

import pytest

from core.system.paths import PROJECT
from workbench.screens.shared import theme

THEME = tomllib.loads((PROJECT / "workbench" / ".streamlit" / "config.toml").read_text(encoding="utf-8"))["theme"]
MODES = [pytest.param(THEME[mode], id=mode) for mode in ("light", "dark")]
TEXT, GRAPHICS = 4.5, 3.0  # WCAG 2.2, level AA, sections 1.4.3 and 1.4.11
WHITE = "#ffffff"


def luminance(colour: str) -> float:
    """Relative luminance as WCAG defines it."""
    channels = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str) -> float:
    darker, lighter = sorted((luminance(first), luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_of_known_colours() -> None:
    assert contrast("#000000", WHITE) == pytest.approx(21)
    assert contrast("#767676", WHITE) == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("mode", MODES)
def test_text_and_links_are_readable(mode: dict) -> None:
    for background in (mode["backgroundColor"], mode["secondaryBackgroundColor"]):
        assert contrast(mode["textColor"], background) >= TEXT
        assert contrast(mode["linkColor"], background) >= TEXT


@pytest.mark.parametrize("mode", MODES)
def test_the_accent_carries_white_labels_and_stands_out(mode: dict) -> None:
    assert contrast(mode["primaryColor"], WHITE) >= TEXT
    assert contrast(mode["primaryColor"], mode["backgroundColor"]) >= GRAPHICS


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("colour", theme.SERIES)
def test_every_series_is_visible_on_both_backgrounds(mode: dict, colour: str) -> None:
    assert contrast(colour, mode["backgroundColor"]) >= GRAPHICS


def test_pages_and_figures_share_their_series() -> None:
    assert tuple(THEME["chartCategoricalColors"]) == theme.SERIES
    assert theme.PLOTLY_TEMPLATE["layout"]["colorway"] == list(theme.SERIES)


def test_fonts_are_those_of_the_machine() -> None:
    assert not any("url" in str(THEME[key]) or ":" in THEME[key] for key in ("font", "codeFont"))
    assert "fontFaces" not in THEME
