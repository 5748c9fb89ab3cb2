"""One run: what it does now, its curves, results, samples, log and recipe. ``?run=`` names it."""

import streamlit as st

from workbench.errors import RunNotFoundError
from workbench.screens.run import run_view
from workbench.screens.shared import state, views

with views.errors_shown():
    try:
        run = state.run_of_url()
    except RunNotFoundError:
        st.title("Run", anchor=False)
        st.page_link(state.RUNS, label="All runs", icon=":material/arrow_back:")
        raise
    if run is None:
        st.title("Run", anchor=False)
        views.empty_state("No run selected. Select one from the list.", "list")
        st.page_link(state.RUNS, label="All runs", icon=":material/arrow_back:")
    else:
        run_view.show(run)
