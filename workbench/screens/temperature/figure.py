"""A teacher's answer under a slider for the temperature; it moves in the browser, without a rerun of the script.

    p_i = exp(v_i / T) / sum_j exp(v_j / T)          softened distribution (1503.02531, equation 1)
    H = -sum_i p_i log p_i                            its entropy, in nats
    T^2 dC/dz_i = T (q_i - p_i)                       gradient that a student with logits z gets, multiplied as in section 2
    (z_i - v_i) / N                                   its limit for high T, both zero-meaned: matching logits (equation 4)

N is the number of outcomes. All of it is computed in ``figure.js`` from the logits of all outcomes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from workbench.screens.shared.live_plotly import script_address, with_loader
from workbench.screens.shared.theme import COPPER, GREY, TEAL

HEIGHT = 540  # pixels, of the figure
SHOWN = 12  # outcomes
LOWEST, HIGHEST, FIRST = 0.5, 100.0, 2.0  # temperatures

_mount = st.components.v2.component(
    "stillhouse_temperature",
    html='<section class="temperature"></section>',
    css=(Path(__file__).with_name("figure.css")).read_text(encoding="utf-8"),
    js=with_loader(Path(__file__).with_name("figure.js")),
    isolate_styles=False,  # plotly.js puts its own style sheet into the page's head
)


def draw(answer: Mapping[str, Any], *, key: str, outcome: str, teacher: str, student: str | None) -> None:
    """Draw an answer with its slider, its figure and its table.

    Args:
        answer: `core.classification.examples.ExampleLogits` as plain data.
        key: of the answer; the temperature stays when another takes its place.
        outcome: what the outcomes are, as ``class`` or ``token``.
        teacher, student: names of the models; without a student the gradient is that of one whose logits are all equal.
    """
    _mount(key="temperature", data={
        "answer": key, "labels": [visible(label) for label in answer["labels"][:SHOWN]], "logits": answer["logits"],
        "student": answer["student"], "outcome": outcome, "teacher": teacher, "studentName": student or "an untrained student",
        "lowest": LOWEST, "highest": HIGHEST, "first": FIRST, "height": HEIGHT, "plotly": script_address(),
        "colours": {"teacher": COPPER, "soft": TEAL, "other": GREY}})


def visible(label: str) -> str:
    """Return a token as it can be read: with signs for line breaks, tabs and spaces alone."""
    text = label.replace("\n", "⏎").replace("\t", "⇥")
    return text.strip() or "␣" * len(text) or "(part of a character)"
