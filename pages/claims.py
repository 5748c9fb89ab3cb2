"""Claims of papers, with the outcomes of their reproductions."""

import streamlit as st

from workbench.screens import claims_view
from workbench.screens.shared import views

st.title("Claims", anchor=False)
st.caption("Claims of papers, tested at a scale of minutes by rules that were fixed beforehand. A claim that is not reproduced at this "
           "scale, or whose outcome is inconclusive, stays here as well.")
with views.errors_shown():
    claims_view.claims()
