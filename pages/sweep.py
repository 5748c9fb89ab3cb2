"""Sweeps: one recipe with several values of some of its keys, over several seeds. ``?sweep=`` names one that was started."""

import streamlit as st

from workbench.screens.shared import views
from workbench.screens.sweep import form, list_view, sweep_view

with views.errors_shown():
    views.queue_warning()
    shown = sweep_view.sweep_of_url()
    if shown is not None:
        sweep_view.show(shown)
    else:
        st.title("Sweep", anchor=False)
        st.caption("Train a recipe with several values of its keys, each over several seeds, and see which are better than chance.")
        list_view.undo_offer()
        form.show()
        list_view.listing()
        list_view.bin_contents()
