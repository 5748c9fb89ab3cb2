"""Results of an ensemble: the errors of its members, of their mean, and of the student with and without it."""

from __future__ import annotations

from math import exp

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
    classifiers = found.measure == "errors"
    live_plotly(figure(rows, found), key=f"ensemble.{run.id}",
                label="Errors of members, ensemble, student and the same student on hard labels")
    weights = [sum(each.weights[number] for each in found.repetitions) / len(found.repetitions) for number in range(len(found.names))]
    shares = [f"{weight:.2f}" for weight in weights] + [""] * (len(rows) - len(weights))
    head = ["", f"Errors of {found.items:,}", "Accuracy", "Weight"] if classifiers else ["", "Cross-entropy", "Perplexity", "Weight"]
    views.text_table(head, [[name, interval(each, found), f"{1 - each.value / found.items:.1%}" if classifiers else
                             f"{exp(each.value):.2f}", share] for (name, each), share in zip(rows, shares, strict=True)], numbers=True,
                     label="Errors")
    learnt = f"{found.images:,} images for the student" if classifiers else f"{found.images:,} tokens for each student"
    st.caption(f"{found.mean.capitalize()} mean at T = {found.temperature:g}; {learnt}. {words(found)}")
    if lead := beside_one_member(found):
        st.markdown(lead)
    if any(each.omitted for each in found.repetitions):
        omitted(found)


def rows_of(found: EnsembleSummary) -> list[tuple[str, Estimate]]:
    """Return who made how many errors: the members, then their mean, the student and the student of hard labels."""
    members = [(name, found.member(number)) for number, name in enumerate(found.names)]
    alone = [(f"Same student, {found.names[0]} alone", found.errors("one_member"))] if found.lead_over_one_member else []
    return [*members, ("Ensemble", found.errors("ensemble")), ("Student", found.errors("student")), *alone,
            ("Same student, hard labels", found.errors("hard_labels"))]


def sentence(found: EnsembleSummary) -> str:
    """Return what the student keeps of the ensemble's gain, in words."""
    gain, share = found.gain, found.share_of_gain
    if share is None or (gain.low is not None and gain.low <= 0):
        known = "" if gain.low is None else f" ({_number(gain.low, found, '+')} to {_number(gain.high, found, '+')})"
        advice = "Fewer images, smaller networks" if found.measure == "errors" else "Less text, a smaller student"
        return (f"The ensemble saves **{_amount(gain.value, found)}** over hard labels{known}: no gain beyond chance, so that a share of "
                f"it says little. {advice} or more seeds may show one.")
    within = "" if share.low is None else f" ({share.low:.0%} to {share.high:.0%})"
    return (f"One student keeps **{share.value:.0%}**{within} of the {_amount(gain.value, found)} that the ensemble saves over hard "
            "labels.")


def beside_one_member(found: EnsembleSummary) -> str:
    """Return whether the mean teaches better than one of its members does, in words; empty where that was not compared."""
    lead = found.lead_over_one_member
    if lead is None:
        return ""
    known = "" if lead.low is None else f" ({_number(lead.low, found, '+')} to {_number(lead.high, found, '+')})"
    verdict = ("one seed does not tell which teaches better" if lead.low is None or lead.high is None else
               "the ensemble teaches better" if lead.low > 0 else f"{found.names[0]} teaches better" if lead.high < 0 else
               "no difference beyond chance")
    return (f"Against the same student of {found.names[0]} alone, for the same tokens, it saves {_amount(lead.value, found)}{known}: "
            f"{verdict}.")


def _number(value: float | None, found: EnsembleSummary, sign: str = "") -> str:
    return "" if value is None else f"{value:{sign}.{1 if found.measure == 'errors' else 4}f}"


def _amount(value: float, found: EnsembleSummary) -> str:
    return f"{_number(value, found)} {'errors' if found.measure == 'errors' else 'nats a token'}"


def words(found: EnsembleSummary) -> str:
    """Return what the intervals are."""
    return f"In brackets: {found.errors('student').interval_words}." if len(found.repetitions) > 1 else "One seed, without intervals."


def interval(estimate: Estimate, found: EnsembleSummary) -> str:
    """Return a number of errors with its interval."""
    within = "" if estimate.low is None else f" ({_number(estimate.low, found)} to {_number(estimate.high, found)})"
    return f"{_number(estimate.value, found)}{within}"


def figure(rows: list[tuple[str, Estimate]], found: EnsembleSummary) -> go.Figure:
    """Return bars of errors with their intervals."""
    margins = [each.margin or 0.0 for _, each in rows]
    drawn = go.Figure(go.Bar(x=[each.value for _, each in rows], y=[name for name, _ in rows], orientation="h",
                             marker={"color": [COLOURS.get(name, GREY) for name, _ in rows], "opacity": 0.6},
                             error_x={"type": "data", "array": margins, "thickness": 1.5, "color": GREY},
                             hovertext=[f"{name}: {interval(each, found)}" for name, each in rows], hoverinfo="text"))
    drawn.update_layout(height=90 + 34 * len(rows), hovermode="closest", margin={"t": 12})
    drawn.update_yaxes(autorange="reversed", automargin=True)
    classifiers = found.measure == "errors"
    drawn.update_xaxes(title_text="errors" if classifiers else "cross-entropy (nats a token)", rangemode="tozero")
    return drawn


def omitted(found: EnsembleSummary) -> None:
    """Draw what became of classes that the student never saw."""
    st.subheader("Classes that the student never saw", anchor=False)
    rows = [[str(each.seed), one.label, f"{one.b:+.1f}", f"{one.before:.0%}", f"{one.after:.0%}", f"{one.hard_labels:.0%}",
             f"{one.hard_labels_after:.0%} ({one.hard_labels_b:+.1f})"] for each in found.repetitions for one in each.omitted]
    head = ["Seed", "Class", "b", "Recall before", "Recall after", "Hard labels, same b", "Hard labels, own b"]
    views.text_table(head, rows, numbers=True, label="Omitted classes")
    st.caption("b is added to the bias of the class, and chosen on images that nothing else is measured on.")
