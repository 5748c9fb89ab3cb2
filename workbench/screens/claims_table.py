"""One table of all claims with their verdicts: what a reader sees first, sorts, and downloads."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core.evaluation.statistics import level_words
from core.studies.claims import outcomes, registry
from core.studies.claims.claim import Claim
from core.studies.claims.outcomes import Number
from core.system.units import duration
from workbench.screens.shared.downloads import download

COLUMNS = {
    "claim": "Claim", "verdict": "Verdict", "system": "System", "statement": "Statement", "published": "Published", "ours": "Ours",
    "seeds": "Seeds", "minutes": "Minutes", "expected": "Expected", "units": "Units"}
ROW, HEIGHT = 110, 590  # pixels: rows in which text wraps to five lines, and five of them, so that what follows is seen to follow


def interval(number: Number, unit: str) -> str:
    """Return the mean with half the width of its 95% interval (Student's t over the seeds)."""
    margin = number.interval.margin
    error = "" if margin is None else f" ± {margin:.2g}"
    mean = f"{number.mean:,.0f}" if abs(number.mean) >= 1000 else f"{number.mean:.3g}"
    return f"{mean}{error} {unit}".strip()


def expected_minutes(claim: Claim) -> float:
    """Return how long the default seeds take on one idle core, if no other claim has trained its models."""
    return claim.seconds * len(claim.default_seeds) / 60


def rows() -> pd.DataFrame:
    """Return a row for each claim; minutes are of the outcome, empty where there is none of its present version."""
    found = []
    for claim in registry.CLAIMS.values():
        known = outcomes.latest(claim)
        outcome = known and known[0]
        figure = claim.figures[0]
        found.append({
            "claim": claim.name, "verdict": outcomes.verdict_words(claim, outcome) + (" (sanity check)" if claim.sanity_check else ""),
            "system": claim.system, "statement": claim.statement, "published": claim.published,
            "ours": f"{interval(outcome.numbers[figure.name], figure.unit)}: {figure.words}" if outcome else "",
            "seeds": len(outcome.seeds) if outcome else None, "minutes": round(outcome.seconds / 60, 1) if outcome else None,
            "expected": round(expected_minutes(claim), 1), "units": claim.units})
    return pd.DataFrame(found).astype({"seeds": "Int64"})


def table() -> None:
    """Draw the table, its download, and how long all of it takes."""
    data = rows()
    st.dataframe(data, hide_index=True, height=HEIGHT, row_height=ROW, placeholder="–", key="claims.table", column_config={
        "claim": st.column_config.TextColumn(COLUMNS["claim"], width=55, pinned=True),
        "verdict": st.column_config.TextColumn(COLUMNS["verdict"], width=120),
        "system": st.column_config.TextColumn(COLUMNS["system"], width=90),
        "statement": st.column_config.TextColumn(COLUMNS["statement"], width=270),
        "published": st.column_config.TextColumn(COLUMNS["published"], width=270),
        "ours": st.column_config.TextColumn(COLUMNS["ours"], width=230, help=f"Mean ± half of its {level_words()} interval over the "
                                                                             f"seeds."),
        "seeds": st.column_config.NumberColumn(COLUMNS["seeds"], width=60),
        "minutes": st.column_config.NumberColumn(COLUMNS["minutes"], format="%.1f", width=75, help="Working time of the outcome shown."),
        "expected": st.column_config.NumberColumn(COLUMNS["expected"], format="%.1f", width=75, help="Of all its seeds on one idle core."),
        "units": st.column_config.TextColumn(COLUMNS["units"], width=230)})
    with st.container(horizontal=True, vertical_alignment="center"):
        download("All claims (CSV)", lambda: data.rename(columns=COLUMNS).to_csv(index=False), file_name="claims.csv", mime="text/csv",
                 key="claims.csv")
        whole = duration(60 * sum(map(expected_minutes, registry.CLAIMS.values())))
        st.caption(f"`python -m workbench claim --all` checks them all: about {whole} on one idle core, less where claims share models. "
                   "It can be stopped, and resumes.")
