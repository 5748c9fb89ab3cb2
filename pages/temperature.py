"""What temperature does to a teacher's answer: ``?example=``, ``?teacher=`` and the text are in the address."""

import streamlit as st

from workbench.screens.shared import views
from workbench.screens.temperature import temperature_view

st.title("Temperature", anchor=False)
st.caption("A teacher's answer says more than its first choice. Divided by a temperature T, its logits show what it takes for similar.")
with views.errors_shown():
    temperature_view.show()
