"""Every model: the catalogue, the students of runs, and any other by its reference."""

import streamlit as st

from workbench.screens import runs_view
from workbench.screens.models import models_view
from workbench.screens.shared import state, views

st.title("Models", anchor=False)
st.caption("Causal and masked language models (MLM) can be teachers and be compared with their students. All load "
           "with Transformers.")
with views.errors_shown():
    runs_view.undo_offer()
    models_view.catalogue()
    models_view.any_reference()
    st.page_link(state.DEPLOY, label="Deploy: a student against limits", icon=":material/rocket_launch:")
    st.page_link(state.SIGNALS, label="Teachers' answers on disk", icon=":material/database:")
