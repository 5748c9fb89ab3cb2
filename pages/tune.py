"""Fine-tune an encoder on a labelled task, with or without a teacher. ``?model=`` chooses the model, ``?from=`` a run to begin from."""

import streamlit as st

from workbench.screens import tune_view
from workbench.screens.shared import views

with views.errors_shown():
    st.title("Fine-tune", anchor=False)
    st.caption("An encoder that fills blanks learns a task: to put labels on texts, or to find answers in them. A model that knows the "
               "task already can teach it: DistilBERT's second step.")
    tune_view.form()
