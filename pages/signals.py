"""Teachers' answers on disk: what is kept, how exact it is, which runs learn from it."""

import streamlit as st

from workbench.screens import signals_view
from workbench.screens.shared import views

st.title("Teacher signals", anchor=False)
st.caption("What teachers answered once and runs learn from again. Kept hidden states are used by every later run with the same teacher, "
           "text and block length.")
with views.errors_shown():
    signals_view.undo_offer()
    signals_view.listing()
    signals_view.bin_contents()
    signals_view.reading_link()
