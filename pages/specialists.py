"""A generalist's confusions, its specialists' accuracy, and what they say of one item: ``?run=`` and ``?item=`` are in the address."""

import streamlit as st

from workbench.screens.shared import views
from workbench.screens.specialists import specialists_view

st.title("Specialists", anchor=False)
st.caption("A generalist tells many classes apart and confuses some. A specialist learns a cluster of those; both are combined into one "
           "answer, and distilled back into one network.")
with views.errors_shown():
    specialists_view.show()
