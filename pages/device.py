"""An exported student in the visitor's own browser: a sentence, its blank or its class, milliseconds. ``?models=a,b`` names models."""

import streamlit as st

from workbench.screens.device import device_view
from workbench.screens.shared import state, views

st.title("On device", anchor=False)
st.caption("Export a distilled masked language model (MLM) or a classifier and run it in this browser, on your own device.")
st.page_link(state.DEPLOY, label="Deploy: a student against limits", icon=":material/rocket_launch:")
with views.errors_shown():
    ready = device_view.export_missing(device_view.pick())
    if ready:
        device_view.pane(ready)
        device_view.figures(ready)
