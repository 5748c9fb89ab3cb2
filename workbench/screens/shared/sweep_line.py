"""A sweep in a line: its name, its status, how many of its runs have ended. The Sweep page and the list of runs draw it."""

from __future__ import annotations

import streamlit as st

from workbench.runs import sweeps
from workbench.screens.shared import state, views
from workbench.store.sweeps import Sweep


def sweep_line(sweep: Sweep) -> None:
    """Draw one sweep, linked to its page."""
    progress = sweeps.progress_of(state.store().sweep_runs(sweep.id))
    with st.container(horizontal=True, vertical_alignment="center", border=True, key=f"sweep-{sweep.id}"):
        st.page_link(state.SWEEP, label=views.plain(sweep.name), query_params={"sweep": sweep.id}, icon=":material/grid_on:")
        views.word_badge(progress.status)
        st.caption(views.plain(f"{progress.text}  ·  {', '.join(sweep.keys) or 'seeds alone'}  ·  {views.ago(sweep.created)}"))
