"""Classify: what classifiers make of a text, class by class and side by side, with their agreement in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from workbench.screens.compare import asking, differences
from workbench.screens.compare.asking import Participant
from workbench.screens.shared import background, charts, links, panes, state, views
from workbench.screens.shared.live_plotly import live_plotly

TEXT, PAIR = "compare.review", "compare.pair"  # in the session state
EXAMPLES = ("A joy from the first scene to the last.", "Two hours of my life that nobody will give back to me.",
            "The plot is thin, but the two leads are a joy to watch.", "Not bad at all, if you forget the ending.")


def show(models: Sequence[str]) -> None:
    """Draw the text, and the classes that the models predict."""
    if not models:
        views.empty_state("Select two or three classifiers. Fine-tuning a pretrained encoder on labelled texts gives one:",
                          panes.CLASSES.icon)
        asking.recipe("house-sentiment", state.TUNE)
        return
    text, pair, again = _texts()
    answered = asking.query(models, panes.CLASSES, background.classes, lambda: (text, pair), again=again, meanwhile="Classifying …")
    if answered is not None:
        participants, found = answered
        _classes(found, participants)
        if len(models) == 1:
            st.caption(":material/add: Add a second model above to compare. This trains a student of the first:")
            asking.recipe("house-sentiment-stage2", state.TUNE)


def _texts() -> tuple[str, str, bool]:
    """Draw the fields, and return the text, the second one if there is one, and whether to query again though they are unchanged."""
    links.follow(TEXT, "text", EXAMPLES[0])
    links.follow(PAIR, "pair", "")
    text = st.text_area("Text", key=TEXT, height=100, placeholder="A sentence or a review")
    with st.container(horizontal=True, key="reviews"):
        for number, example in enumerate(EXAMPLES):
            st.button(views.plain(example), key=f"review.{number}", on_click=st.session_state.update, args=({TEXT: example},))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        pair = st.text_input("Second text", key=PAIR, placeholder="empty for models that judge a single text",
                             help="For models that were fine-tuned on pairs, as two sentences that may say the same.")
        again = st.button("Classify", type="primary", icon=f":material/{panes.CLASSES.icon}:", key="classify")
    links.keep(TEXT, "text", text)
    links.keep(PAIR, "pair", pair)
    return text, pair, again


def _classes(found: Mapping[str, Any], participants: Sequence[Participant]) -> None:
    answers, roles = found["classes"], [each.role for each in participants]
    for index, (column, each) in enumerate(zip(st.columns(len(participants), gap="medium"), participants, strict=True)):
        with column:
            asking.heading(each, found["seconds"][index])
            shares = differences.marked_classes(answers, index)
            live_plotly(charts.ranked(shares, colour=each.colour, longest=1.0), key=f"classes.{index}",
                        label=f"{each.role}: " + ", ".join(f"{label} {share:.1%}" for label, share in
                                                           zip(shares["label"], shares["value"], strict=True)))
            if index:
                agrees = differences.class_agreement(answers, index)
                icon = "check" if agrees.startswith("Agrees") else "close"
                st.markdown(f":material/{icon}: {views.plain(agrees)}")
    with st.expander("The classes as a table", icon=":material/table:", key="classes table"):
        head, rows = differences.class_table(answers, roles)
        views.text_table(head, rows, label="Classes", numbers=True)
