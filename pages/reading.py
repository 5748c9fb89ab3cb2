"""A reading teacher's notes on a text, sentence by sentence; review, train, and read together. ``?notes=`` and ``?run=``."""

import streamlit as st

from workbench.screens.reading import form, notes_view, together_view, training_view
from workbench.screens.shared import views

st.title("Reading", anchor=False)
st.caption("A teacher notes the entities of each sentence and a question with its answer; a student learns to read from them before it "
           "sits any exam (Basic Reading Distillation).")
linked = "run" in st.query_params  # from a run's page: what it was opened for comes first
with views.errors_shown():
    if linked:
        together_view.show()
    form.show()
    folder = form.chosen_annotation()
    if folder is not None:
        notes_view.show(folder)
        training_view.show(folder)
    if not linked:
        together_view.show()
