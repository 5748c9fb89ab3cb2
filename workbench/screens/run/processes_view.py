"""The processes of a run that trains in several: how fast each is, and what it holds."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core.events import JobState, Processes
from core.metrics import METRICS
from workbench.screens.shared import state
from workbench.store.records import Run


def processes(run: Run) -> None:
    """Draw the latest speed and memory of each process; nothing for a run in one."""
    recorded = state.store().events(run.id, kind=Processes.kind)
    if not recorded:
        return
    latest = Processes.from_dict(recorded[-1].payload)
    with st.expander(f"{len(latest.memory_gib)} processes"):
        st.dataframe(table(latest), hide_index=True, width="stretch")
        st.caption(f"Step {latest.step}. Each process trains on its share of every step; the speed above is of all together.")


def job_text(run: Run) -> str:
    """Return how the job is that carries a run out elsewhere, in the words of its place; empty for a run of this machine."""
    recorded = state.store().events(run.id, kind=JobState.kind) if run.launch is not None else []
    return JobState.from_dict(recorded[-1].payload).text if recorded else ""


def job_details(run: Run) -> dict[str, str]:
    """Return the row of a run's details that says how its job is, or was; none for a run of this machine."""
    return {"job": text} if (text := job_text(run)) else {}


def table(latest: Processes) -> pd.DataFrame:
    """Return a row for each process."""
    speed, memory = METRICS["tokens_per_second"], METRICS["memory_gib"]
    return pd.DataFrame({"process": range(len(latest.memory_gib)), f"{speed.label} ({speed.unit})": [
        f"{value:,.0f}" if value else "–" for value in latest.tokens_per_second],
        f"{memory.label} ({memory.unit})": [f"{value:.2f}" for value in latest.memory_gib]})
