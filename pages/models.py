"""Every model: the catalogue, the students of runs, and any other by its reference."""

import streamlit as st

from workbench.screens import runs_view
from workbench.screens.models import models_view
from workbench.screens.shared import views

st.title("Models", anchor=False)
st.caption("Causal and masked language models (MLM) can be teachers and be compared with their students. All load "
           "with Transformers.")
with views.errors_shown():
    runs_view.undo_offer()
    models_view.catalogue()
    models_view.any_reference()
