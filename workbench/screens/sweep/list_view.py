"""The sweeps of this installation: how far each is, and the bin."""

from __future__ import annotations

import streamlit as st

from workbench.runs import sweeps
from workbench.screens.shared import state, views
from workbench.screens.shared.sweep_line import sweep_line
from workbench.store.sweeps import Sweep

UNDO = "deleted sweep"  # id of the sweep that this session deleted last


def listing() -> None:
    """Draw the sweeps, newest first, each with its progress and a link."""
    found = state.store().sweeps()
    if not found:
        views.empty_state("No sweep yet. Choose a key and its values above: the settings are trained one after the other in the "
                          "background, and the page may be closed meanwhile.", "grid_on")
        return
    st.subheader("Sweeps", anchor=False)
    for sweep in found:
        sweep_line(sweep)


def undo_offer() -> None:
    """Draw a notice after a deletion, with a button that undoes it."""
    last = st.session_state.get(UNDO)
    sweep = next((each for each in state.store().sweeps(include_deleted=True) if each.id == last and each.deleted is not None), None)
    if sweep is None:
        return
    with st.container(horizontal=True, vertical_alignment="center", border=True):
        st.markdown(f":material/delete: **{views.plain(sweep.name)}** is in the bin, with its runs.", width="stretch")
        if st.button("Undo", key="undo sweep", icon=":material/undo:"):
            _restore(sweep)


def bin_contents() -> None:
    """Draw the deleted sweeps, each to be restored or permanently deleted."""
    deleted = [(sweep, sweep.deleted) for sweep in state.store().sweeps(include_deleted=True) if sweep.deleted is not None]
    if not deleted:
        return
    with st.expander(f"Bin ({len(deleted)})", icon=":material/delete:"):
        for sweep, when in deleted:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f"**{views.plain(sweep.name)}**  :gray[deleted {views.ago(when)}]", width="stretch")
                if st.button("Restore", key=f"restore.{sweep.id}", icon=":material/undo:"):
                    _restore(sweep)
                if st.button("Delete permanently", key=f"purge.{sweep.id}", icon=":material/delete_forever:",
                             help="Deletes the sweep, its runs with their folders, and all their metrics."):
                    sweeps.purge(sweep, state.store())
                    st.rerun()


def _restore(sweep: Sweep) -> None:
    state.store().restore_sweep(sweep.id)
    state.forget_models()
    st.rerun()
