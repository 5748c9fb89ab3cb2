"""Runs grouped by recipe, over seeds: means with intervals, differences, one CSV, bundles. ``?by=`` names keys that are columns."""

import streamlit as st

from workbench.screens.recipes import recipes_view
from workbench.screens.shared import views

st.title("Recipes", anchor=False)
st.caption("Finished runs of one recipe, all keys but the seed alike, count as repetitions: their mean says more than any of them.")
with views.errors_shown():
    recipes_view.show()
