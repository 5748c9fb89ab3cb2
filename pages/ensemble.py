"""Train classifiers of images and distil their mean. ``?from=`` names a run to begin from."""

import streamlit as st

from workbench.screens import ensemble_view
from workbench.screens.shared import state, views

with views.errors_shown():
    st.title("Ensemble", anchor=False)
    st.caption("Several small networks for images, and one that learns from their mean: what it keeps of the gain, beside the same "
               "network on hard labels.")
    ensemble_view.form()
    st.page_link(state.TEMPERATURE, label="What temperature does to their answers", icon=":material/thermostat:")
