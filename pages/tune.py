"""Fine-tune an encoder on a labelled task, with or without a teacher. ``?model=`` chooses the model, ``?from=`` a run to begin from."""

import streamlit as st

from workbench.screens import tune_view
from workbench.screens.shared import views

with views.errors_shown():
    st.title("Fine-tune", anchor=False)
    st.caption("Fine-tune a masked language model (MLM) to classify texts or to extract answers from them, with or without distillation "
               "from a teacher that is fine-tuned on the task (DistilBERT's second step).")
    tune_view.form()
