"""All runs: filter, compare, open; and the bin."""

import streamlit as st

from workbench.screens import runs_view
from workbench.screens.shared import state, views

st.title("Runs", anchor=False)
with views.errors_shown():
    views.queue_warning()
    runs_view.undo_offer()
    runs = state.store().runs()
    if runs:
        chosen = runs_view.listing(runs)
        if chosen:
            runs_view.actions(chosen)
            runs_view.overlay(chosen)
        else:
            st.caption("Click a name to open a run, or select several to overlay their curves.")
            st.page_link(state.RECIPES, label="Runs by recipe, over seeds", icon=":material/table_chart:")
    else:
        views.empty_state("No runs yet. Started experiments appear here and are kept after the app is closed.", "science")
        st.page_link(state.NEW, label="New experiment", icon=":material/add:")
    runs_view.bin_contents()
