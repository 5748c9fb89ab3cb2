"""Results of an ensemble: the errors of its members, of their mean, and of the student with and without it."""

from __future__ import annotations

import plotly.graph_objects as go
import streamlit as st

from core.evaluation.statistics import Estimate
from core.reports.ensemble_report import EnsembleSummary
from workbench.screens.shared import views
from workbench.screens.shared.live_plotly import live_plotly
from workbench.screens.shared.theme import COPPER, GREY, TEAL
from workbench.store import Store
from workbench.store.records import Run

COLOURS = {"Ensemble": COPPER, "Student": TEAL}


def summary_of(store: Store, run: Run) -> EnsembleSummary | None:
    """Return what the run's report says of its ensemble; None where there is none, or not yet."""
    for event in reversed(store.events(run.id, kind="report")):
        record = event.payload.get("ensemble")
        if record:
            return EnsembleSummary.from_dict(record)
    return None


def show(run: Run, found: EnsembleSummary) -> None:
    """Draw errors with their intervals, the share of the gain, and classes that were left out."""
    rows = rows_of(found)
    st.markdown(sentence(found))
    live_plotly(figure(rows), key=f"ensemble.{run.id}", label="Errors of members, ensemble, student and the same student on hard labels")
    weights = [sum(each.weights[number] for each in found.repetitions) / len(found.repetitions) for number in range(len(found.names))]
    shares = [f"{weight:.2f}" for weight in weights] + [""] * (len(rows) - len(weights))
    views.text_table(["", f"Errors of {found.items:,}", "Accuracy", "Weight"],
                     [[name, interval(each), f"{1 - each.value / found.items:.1%}", share]
                      for (name, each), share in zip(rows, shares, strict=True)], numbers=True, label="Errors")
    st.caption(f"{found.mean.capitalize()} mean at T = {found.temperature:g}; {found.images:,} images for the student. {words(found)}")
    if any(each.omitted for each in found.repetitions):
        omitted(found)


def rows_of(found: EnsembleSummary) -> list[tuple[str, Estimate]]:
    """Return who made how many errors: the members, then their mean, the student and the student of hard labels."""
    members = [(name, found.member(number)) for number, name in enumerate(found.names)]
    return [*members, ("Ensemble", found.errors("ensemble")), ("Student", found.errors("student")),
            ("Same student, hard labels", found.errors("hard_labels"))]


def sentence(found: EnsembleSummary) -> str:
    """Return what the student keeps of the ensemble's gain, in words."""
    gain, share = found.gain, found.share_of_gain
    if share is None or (gain.low is not None and gain.low <= 0):
        known = "" if gain.low is None else f" ({gain.low:+.1f} to {gain.high:+.1f})"
        return (f"The ensemble saves **{gain.value:.1f} errors** over hard labels{known}: no gain beyond chance, so that a share of it "
                "says little. Fewer images, smaller networks or more seeds may show one.")
    within = "" if share.low is None else f" ({share.low:.0%} to {share.high:.0%})"
    return f"One student keeps **{share.value:.0%}**{within} of the {gain.value:.1f} errors that the ensemble saves over hard labels."


def words(found: EnsembleSummary) -> str:
    """Return what the intervals are."""
    return f"In brackets: {found.errors('student').interval_words}." if len(found.repetitions) > 1 else "One seed, without intervals."


def interval(estimate: Estimate) -> str:
    """Return a number of errors with its interval."""
    within = "" if estimate.low is None else f" ({estimate.low:.1f} to {estimate.high:.1f})"
    return f"{estimate.value:.1f}{within}"


def figure(rows: list[tuple[str, Estimate]]) -> go.Figure:
    """Return bars of errors with their intervals."""
    margins = [each.margin or 0.0 for _, each in rows]
    drawn = go.Figure(go.Bar(x=[each.value for _, each in rows], y=[name for name, _ in rows], orientation="h",
                             marker={"color": [COLOURS.get(name, GREY) for name, _ in rows], "opacity": 0.6},
                             error_x={"type": "data", "array": margins, "thickness": 1.5, "color": GREY},
                             hovertext=[f"{name}: {interval(each)}" for name, each in rows], hoverinfo="text"))
    drawn.update_layout(height=90 + 34 * len(rows), hovermode="closest", margin={"t": 12})
    drawn.update_yaxes(autorange="reversed", automargin=True)
    drawn.update_xaxes(title_text="errors", rangemode="tozero")
    return drawn


def omitted(found: EnsembleSummary) -> None:
    """Draw what became of classes that the student never saw."""
    st.subheader("Classes that the student never saw", anchor=False)
    rows = [[str(each.seed), one.label, f"{one.b:+.1f}", f"{one.before:.0%}", f"{one.after:.0%}", f"{one.hard_labels:.0%}",
             f"{one.hard_labels_after:.0%} ({one.hard_labels_b:+.1f})"] for each in found.repetitions for one in each.omitted]
    head = ["Seed", "Class", "b", "Recall before", "Recall after", "Hard labels, same b", "Hard labels, own b"]
    views.text_table(head, rows, numbers=True, label="Omitted classes")
    st.caption("b is added to the bias of the class, and chosen on images that nothing else is measured on.")
