"""What each part of a recipe is worth: the recipe without it, with the same seeds. ``?recipe=`` chooses one."""

import streamlit as st

from workbench.screens import ablation_view
from workbench.screens.shared import views

st.title("Ablation", anchor=False)
st.caption("A recipe is trained whole, then without each of its parts, with the same seeds: the difference is what the part is worth. "
           "A part that helps nothing shows as well.")
with views.errors_shown():
    ablation_view.show()
