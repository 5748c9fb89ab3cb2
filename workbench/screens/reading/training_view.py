"""Start a training on the notes of an annotation."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from core.reading import requests as readings
from core.recipes import parse_recipe
from workbench.screens.reading import notes_view
from workbench.screens.shared import state, views

NOTES = {"own": "With its notes", "shuffled": "Control: notes of other sentences", "none": "Control: the text alone"}


def show(folder: Path) -> None:
    """Draw the form of a training, once there is something to learn from."""
    request = readings.load_request(folder)
    assert request is not None, "others are not listed"
    if not sum(notes_view.notes_of(request).statistics.valid.values()):
        return
    st.subheader("Train on these notes", anchor=False)
    with st.container(border=True, key="reading training"):
        left, middle, right = st.columns(3, gap="medium")
        causal = [entry.name for entry in state.models() if entry.task == "causal" and entry.present]
        student = left.selectbox("Student", list(dict.fromkeys([request.config.student.model or "house-chat", *causal])),
                                 key="reading.student", accept_new_options=True)
        notes = middle.selectbox("Reads", list(NOTES), format_func=NOTES.__getitem__, key="reading.notes", help=(
            "The controls read the same text: what a student learns from the notes is the difference."))
        steps = right.number_input("Steps", min_value=1, value=50, step=10, key="reading.steps")
        if st.button("Start training", icon=":material/play_arrow:", key="reading.train"):
            plain = request.config.to_dict()
            with views.errors_shown():
                views.start_run(parse_recipe({
                    **plain, "student": {**plain["student"], "model": student}, "reading": {**plain["reading"], "notes": notes},
                    "data": {**plain["data"], "block_length": 128},
                    "train": {**plain["train"], "max_steps": int(steps), "save_steps": max(1, int(steps) // 2)},
                    "evaluation": {**plain["evaluation"], "eval_steps": max(1, int(steps) // 2), "prompts": []}}))
