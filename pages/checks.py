"""What the papers claim, and what came of it here."""

import streamlit as st

from workbench.screens import checks_view
from workbench.screens.shared import views

st.title("Paper checks", anchor=False)
st.caption("What the papers claim, checked at a scale of minutes by rules that were fixed beforehand. "
           "A claim that does not hold at this scale stays here as well.")
with views.errors_shown():
    checks_view.claims()
