"""Rows and tokens of a preview as a page shows them."""

from __future__ import annotations

import re

import pytest

from workbench.screens.new_experiment.data_view import ROW_CHARACTERS, marked, row_text


@pytest.mark.parametrize(("row", "text"), [
    ({"text": "A film."}, "A film."),
    ({"prompt": "Good?", "completion": "Yes."}, "Good?\n→ Yes."),
    ({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}, "user: Hi\nassistant: Hello"),
    ({"text": "x" * 1000}, "x" * ROW_CHARACTERS + " …"),
])
def test_rows_of_every_format(row: dict, text: str):
    assert row_text(row) == text


def token(text: str, weight: float, counted: bool = True) -> dict:
    return {"id": 1, "text": text, "weight": weight, "counted": counted}


def test_only_tokens_that_count_are_marked_the_heavier_the_darker():
    shown = marked([token("<s>", 1.0, counted=False), token(" light", 1.0), token(" heavy", 4.0), token(" none", 0.0, counted=False)])
    light, heavy = (float(shade) for shade in re.findall(r"rgba\(15,128,119,([\d.]+)\)", shown))
    assert light < heavy
    assert shown.count("<mark") == 2


def test_tokens_are_never_read_as_markup():
    assert "&lt;script&gt;" in marked([token("<script>", 1.0)])
    assert "⏎<br>" in marked([token("\n", 1.0)])
