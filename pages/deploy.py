"""From teacher to student to int8: accuracy or perplexity, size, latency, losses, verdict, download. ``?student=`` and ``?result=``."""

import streamlit as st

from workbench.screens.deploy import form, result_view
from workbench.screens.shared import views

st.title("Deploy", anchor=False)
st.caption("What a student costs and loses on the way from its teacher to an int8 file, and whether that is acceptable.")
with views.errors_shown():
    form.show()
    folder = form.results()
    if folder is not None:
        result_view.show(folder)
