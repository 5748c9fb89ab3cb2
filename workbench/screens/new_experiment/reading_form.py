"""The part of the form that a reading run has in place of a teacher's losses: who takes notes, what is read, and who learns from it."""

from __future__ import annotations

from typing import Any

import streamlit as st

from core.config import is_address
from core.config.fields import describe
from core.config.reading import ORACLE
from workbench.screens.new_experiment.chosen_model import described
from workbench.screens.new_experiment.controls import bound, draft, section_errors
from workbench.screens.shared import state

NEW = "a new model"
NOTES = {"own": "With its notes", "shuffled": "Control: notes of other sentences", "none": "Control: the text alone"}
UNITS = {"paragraph": "Paragraphs in their order", "sentence": "Sentences by themselves"}
LOSS_ON = {"all": "Every token", "notes": "Notes alone"}
STREAMS = {"original": "Text as it stands", "entities": "Text with entities", "questions": "Text with questions"}


def reading(errors: dict[str, str]) -> None:
    """Draw the section of both forms."""
    st.subheader("Reading before exams", anchor=False)
    st.caption("Basic Reading Distillation: a teacher notes the entities of each sentence and a question with its answer, a student is "
               "trained on text with these notes, and is scored on tasks that it never trained on.")
    left, right = st.columns(2, gap="large")
    with left:
        _teacher(errors)
        _student(errors)
    with right:
        st.number_input("Paragraphs", 2, None, step=100, help=describe("reading.paragraphs"), **_bound("paragraphs"))
        _choice("Reads", "notes", NOTES)
        for column, (key, label) in zip(st.columns(3), STREAMS.items(), strict=True):
            column.number_input(label, 0.0, None, step=1.0, format="%g", help=describe(f"reading.{key}"), **_bound(key))
    with st.expander("Prompts, order and scoring", icon=":material/tune:"):
        first, second, third = st.columns(3, gap="medium")
        with first:
            _choice("Order", "unit", UNITS)
        with second:
            _choice("Loss on", "loss_on", LOSS_ON)
        third.number_input("Scored items of a task", 1, None, step=50, help=describe("reading.items"), **_bound("items"))
        if draft()["reading"]["model"] != ORACLE:
            about, ask = st.columns(2, gap="medium")
            about.text_area("Prompt for entities", height=260, help=describe("reading.entity_prompt"), **_bound("entity_prompt"))
            ask.text_area("Prompt for questions", height=260, help=describe("reading.question_prompt"), **_bound("question_prompt"))
    section_errors(errors, *(f"reading.{key}" for key in draft()["reading"]), "reading", "losses")
    st.page_link(state.READING, label="Take notes of a text and look at them first", icon=":material/menu_book:")


def _teacher(errors: dict[str, str]) -> None:
    chosen = draft()["reading"]["model"]
    names = [ORACLE, *(entry.name for entry in state.models() if entry.task == "causal")]
    st.selectbox("Reading teacher", names if chosen in names else [chosen, *names], accept_new_options=True,
                 help=describe("reading.model"), **bound("field.reading.model", chosen, _set_teacher))
    if chosen == ORACLE:
        st.caption("The oracle writes its own text from templates, and its notes are exact: it tests the mechanism, and says nothing of "
                   "real text.")
        return
    if not is_address(chosen) and "reading.model" not in errors:
        described(chosen)


def _student(errors: dict[str, str]) -> None:
    chosen = NEW if draft()["student.from_scratch"] else draft()["student.model"]
    if draft()["teacher"]:  # distilled on the same text: the student is made as in any distillation
        return
    names = [NEW, *(entry.name for entry in state.models() if entry.task == "causal" and entry.present)]
    st.selectbox("Student", names if chosen in names or not chosen else [chosen, *names], accept_new_options=True,
                 help="A model that continues from what it knows, or a new one, whose sizes are in the recipe.",
                 **bound("field.reading.student", chosen or NEW, _set_student))
    section_errors(errors, "student", "student.model", "student.from_scratch")


def _choice(label: str, key: str, options: dict[str, str]) -> None:
    st.selectbox(label, list(options), format_func=options.__getitem__, help=describe(f"reading.{key}"), **_bound(key))


def _bound(key: str) -> dict[str, Any]:
    return bound(f"field.reading.{key}", draft()["reading"][key], _keep, key)


def _keep(value: Any, key: str) -> None:
    draft()["reading"] = {**draft()["reading"], key: value}


def _set_teacher(name: str | None) -> None:
    _keep(name or ORACLE, "model")


def _set_student(name: str | None) -> None:
    new = name in (None, NEW)
    draft()["student.from_scratch"], draft()["student.model"] = new, None if new else name
