"""Read together: one sentence, the teacher's notes and the student's, before and after its training."""

from __future__ import annotations

import json

import streamlit as st

from core.reading.notes import BEHAVIOURS
from core.reading.together import read_together
from workbench.screens.shared import state, views
from workbench.store.records import Run


def show() -> None:
    """Draw the choice of a run and a sentence, and the three notes beside each other."""
    runs = {run.id: run for run in state.store().runs() if is_reading(run) and read_together(run.directory)}
    if not runs:
        return
    st.subheader("Read together", anchor=False)
    left, right = st.columns([0.35, 0.65], gap="medium")
    linked = st.query_params.get("run")
    run = left.selectbox("Run", list(runs), index=list(runs).index(linked) if linked in runs else 0, key="reading.run",
                         format_func=lambda name: runs[name].name)
    sentences = {each["sentence"]: each for each in read_together(runs[run].directory)}
    chosen = right.selectbox("Sentence", list(sentences), key=f"reading.together.{run}")
    each = sentences[chosen]
    for column, who, title in zip(st.columns(3, gap="medium"), ("teacher", "before", "after"),
                                  ("Teacher", "Student before", "Student after"), strict=True):
        with column.container(border=True, height="stretch"):
            st.markdown(f"**{title}**")
            for behaviour in BEHAVIOURS:
                said = each[behaviour][who]
                st.markdown(views.plain(said) if said else ":gray[none]")
    st.page_link(state.RUN, label="Open the run", icon=":material/play_circle:", query_params={"run": run})


def is_reading(run: Run) -> bool:
    """Return whether a run trained on notes; readable even where its configuration is another release's."""
    return json.loads(run.config_json).get("kind") == "reading"
