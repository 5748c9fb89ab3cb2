"""Predict, then run: a guess is committed first, and stands beside the outcome afterwards."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from workbench.lessons.blocks import Question
from workbench.lessons.experiments import Measured, right_option, value_of
from workbench.screens.learn.reader import Reader
from workbench.screens.shared import views

CLOSE = 0.1  # of the range that could be guessed: a number within it counts as close


def question(block: Question, lesson: str, reader: Reader, measured: Mapping[str, Measured], key: str) -> None:
    """Draw a question, and below it the form of the guess, or the guess beside what came out.

    Args:
        measured: what the runs of the question's recipe came to so far, by label; empty where it has none.
    """
    with st.container(border=True, key=f"question-{key}"):
        st.markdown(f":material/help: **{views.no_images(block.text)}**")
        guess = reader.guess(lesson, block.name)
        if guess is None:
            _form(block, lesson, reader, key)
            return
        outcome = answer(block, measured)
        mine, came = st.columns(2)
        mine.metric("Your guess", _shown(guess, block))
        came.metric("Outcome", "–" if outcome is None else _shown(outcome, block))
        if outcome is None:
            st.caption("Committed. The outcome appears here once the run below has ended.")
            return
        st.markdown(comment(block, guess, outcome))
        if block.why:
            st.markdown(views.no_images(block.why))


def answer(block: Question, measured: Mapping[str, Measured]) -> str | float | None:
    """Return the right answer as far as it is known."""
    if block.outcome is None:
        return block.answer
    if not measured:
        return None
    if block.options:
        return right_option(block, measured)
    return value_of(next(iter(measured.values())), block.outcome)


def comment(block: Question, guess: str | float, outcome: str | float) -> str:
    """Return what there is to say of a guess beside its outcome."""
    if isinstance(guess, str) or isinstance(outcome, str):
        return ":material/check_circle: As you guessed." if guess == outcome else ":material/swap_horiz: It came out otherwise."
    off = abs(guess - outcome)
    if off <= CLOSE * (block.max - block.min):
        return f":material/check_circle: Close: {off:.3g} off."
    return f":material/swap_horiz: {off:.3g} off."


def _form(block: Question, lesson: str, reader: Reader, key: str) -> None:
    with st.form(f"guess.{key}", border=False):
        guess: str | float | None
        if block.options:
            guess = st.radio(block.text, block.options, index=None, key=f"guess.{key}.option", label_visibility="collapsed",
                             format_func=views.plain)
        else:
            label = f"{block.text} ({block.unit})" if block.unit else block.text
            guess = st.slider(label, block.min, block.max, (block.min + block.max) / 2, key=f"guess.{key}.number",
                              label_visibility="collapsed")
        if st.form_submit_button("Commit this guess", icon=":material/lock:"):
            if guess is None:
                st.warning("Choose an answer first.", icon=":material/warning:")
            else:
                with views.errors_shown():
                    reader.commit(lesson, block.name, guess)
                    st.rerun()
    st.caption("It cannot be changed afterwards, and nobody is graded.")


def _shown(value: str | float, block: Question) -> str:
    return value if isinstance(value, str) else f"{value:.4g} {block.unit}".strip()
