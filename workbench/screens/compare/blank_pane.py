"""Fill-mask: the first words of masked models as bars side by side, with what differs marked in colour and in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from core.data.masking import BLANKS, MASK, blanked
from workbench.screens.compare import asking, differences
from workbench.screens.compare.asking import Participant
from workbench.screens.compare.differences import FIRST
from workbench.screens.shared import background, charts, links, panes, state, views
from workbench.screens.shared.live_plotly import live_plotly

SENTENCE = "compare.sentence"  # in the session state
EXAMPLES = (*BLANKS, f"The acting was {MASK}, but the plot was {MASK}.")
MOST_BLANKS = 6  # that are drawn
MARKS = ("▲ ▼ ranks gained or lost against the teacher's list, in a paler bar. Striped bars are in one list only: **new** is not in "
         "the teacher's list, **lost** is in the teacher's list but not in the student's.")


def show(models: Sequence[str]) -> None:
    """Draw the sentence, and the tokens that the models predict for its blanks."""
    if not models:
        views.empty_state("Select two or three masked language models (MLM). This trains the house encoder:", panes.BLANKS.icon)
        asking.recipe("house-encoder", state.NEW)
        return
    sentence, again = _sentence()
    answered = asking.query(models, panes.BLANKS, background.blanks, lambda: (blanked(sentence), FIRST), again=again,
                            meanwhile="Filling in …")
    if answered is not None:
        participants, found = answered
        _blanks(blanked(sentence), found, participants)
        if len(models) == 1:
            st.caption(":material/add: Add a second model above to compare. This trains a student of the first:")
            asking.recipe("distilbert", state.NEW)


def _sentence() -> tuple[str, bool]:
    """Draw the field, and return its text and whether to query again though it is unchanged."""
    links.follow(SENTENCE, "text", EXAMPLES[0])
    with st.container(horizontal=True, vertical_alignment="bottom"):
        sentence = st.text_input("Sentence", key=SENTENCE, placeholder=f"A sentence with {MASK} in place of a word", help=(
            f"Write {MASK} or ___ in place of each word to predict; several are allowed."))
        again = st.button("Fill in", type="primary", icon=f":material/{panes.BLANKS.icon}:", key="fill in")
    links.keep(SENTENCE, "text", sentence)
    with st.container(horizontal=True, key="sentences"):
        for number, example in enumerate(EXAMPLES):
            st.button(views.plain(example), key=f"sentence.{number}", on_click=st.session_state.update, args=({SENTENCE: example},))
    return sentence, again


def _blanks(text: str, found: Mapping[str, Any], participants: Sequence[Participant]) -> None:
    blanks, roles = found["blanks"][:MOST_BLANKS], [each.role for each in participants]
    longest = max(place["probability"] for blank in blanks for word in blank["words"] for place in word["places"] if place)
    if len(found["blanks"]) > MOST_BLANKS:
        st.caption(f"The first {MOST_BLANKS} of {len(found['blanks'])} blanks are shown.")
    for number, blank in enumerate(blanks):
        if len(blanks) > 1:
            st.subheader(f"Blank {number + 1}", anchor=False)
            st.markdown(_with_blank(text, number))
        for index, (column, each) in enumerate(zip(st.columns(len(participants), gap="medium"), participants, strict=True)):
            with column:
                asking.heading(each, None if number else found["seconds"][index])
                words = differences.marked_words(blank, index, roles)
                live_plotly(charts.ranked(words, colour=each.colour, longest=longest), key=f"blank.{number}.{index}",
                            label=f"Blank {number + 1}, {each.role}: " + ", ".join(f"{word} {share:.1%}" for word, share in
                                                                                zip(words["label"], words["value"], strict=True)))
                if index:
                    st.caption(views.plain(differences.agreement(blank, index, each.role)))
        with st.expander(f"The words of blank {number + 1} as a table" if len(blanks) > 1 else "The words as a table",
                         icon=":material/table:", key=f"words.{number}"):
            head, rows = differences.word_table(blank, roles)
            views.text_table(head, rows, label=f"Words for blank {number + 1}")
    if len(participants) > 1:
        st.caption(MARKS)


def _with_blank(text: str, number: int) -> str:
    """Return the sentence as Markdown, with one of its blanks in bold."""
    parts = [views.plain(part) for part in text.split(MASK)]
    blanks = [f"**{views.plain(MASK)}**" if each == number else views.plain(MASK) for each in range(len(parts) - 1)]
    return "".join(part + blank for part, blank in zip(parts, [*blanks, ""], strict=True))
