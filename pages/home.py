"""The first page: what this is, where one left off, three ways in."""

import streamlit as st

from workbench.screens import home_view
from workbench.screens.shared import views

st.title("Stillhouse", anchor=False)
st.markdown("Distil a language model into a shallower student, follow the training live, and compare the two side by side. "
            "Everything runs on this machine, in the background, and every run can be reproduced from one command.")
with views.errors_shown():
    home_view.begin()
home_view.sessions_link()
