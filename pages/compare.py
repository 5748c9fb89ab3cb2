"""Two or three models side by side, asked the same question with the same seed. ``?models=a,b`` names them."""

import streamlit as st

from workbench.screens import compare_view
from workbench.screens.shared import views

st.title("Compare", anchor=False)
with views.errors_shown():
    models = compare_view.pick()
    if models:
        compare_view.pane(models)
    else:
        views.empty_state("Pick two or three models: a house model, students and controls of runs, any folder or hub id.", "forum")
