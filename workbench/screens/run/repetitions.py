"""From one run to several: its recipe with more seeds, a sweep that begins with it, and the sweep that it belongs to."""

from __future__ import annotations

import streamlit as st

from workbench.runs import sweeps
from workbench.screens.shared import share, state, views
from workbench.store.records import Run

MORE_SEEDS = 2  # with the run itself three, the fewest whose interval says something


def link(run: Run) -> None:
    """Draw the way to the sweep that queued a run, if one did."""
    if (swept := state.store().sweeps_of_runs(run.id).get(run.id)) is not None:
        st.page_link(state.SWEEP, label=f"Sweep {views.plain(swept.name)}", query_params={"sweep": swept.id}, icon=":material/grid_on:")


def show(run: Run) -> None:
    """Draw the ways from a run to several: the same recipe with more seeds, and a sweep that begins with it."""
    if run.builds_chain or run.deleted is not None:
        return
    more = st.number_input("More seeds", value=MORE_SEEDS, step=1, key=f"more.{run.id}",
                           help="Runs of this recipe that are there already, one a seed, count with the new ones.")
    if st.button("Repeat with more seeds", icon=":material/repeat:", key="repeat", width="stretch",
                 help="Queues the recipe with further seeds: a mean with its interval in place of one number."):
        with views.errors_shown():
            share.require_allowed(run.config)
            st.switch_page(state.SWEEP, query_params={"sweep": sweeps.repeat(run, more, state.store()).id})
    if st.button("Sweep from here", icon=":material/grid_on:", key="sweep", width="stretch",
                 help="This recipe with several values of its keys."):
        st.switch_page(state.SWEEP, query_params={"from": run.id})
