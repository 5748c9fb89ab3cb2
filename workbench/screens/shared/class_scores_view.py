"""Scores of classifiers by class: what is taken for what, precision, recall and F1, calibration, and mistakes."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from core.evaluation.statistics import Estimate
from core.reports.class_scores import ClassScores, Mistake
from workbench.screens.shared import charts, views
from workbench.screens.shared.live_plotly import live_plotly
from workbench.screens.shared.theme import GREY, ROLE_COLOURS, SERIES, VIOLET

MOST_SQUARES = 20  # classes of a confusion matrix that can be read; of more, the most frequent confusions are listed
LISTED = 12  # confusions in the list
FIRST, SHOWN_CHARACTERS = 5, 180  # mistakes before those on request, and characters of each
COLOURS = {"Teacher": ROLE_COLOURS["teacher"], "Student": ROLE_COLOURS["student"], "Student, int8": VIOLET}
CALIBRATION_HELP = ("Expected calibration error over 15 bins (1706.04599): the mean distance between how sure a classifier is and how "
                    "often it is right. It is above 0 by chance alone; beside it stands what 95 of 100 perfectly calibrated classifiers "
                    "stay below.")


def show(scores: Mapping[str, ClassScores], chosen: str, *, key: str) -> None:
    """Draw everything but mistakes.

    Args:
        scores: who in words -> their scores, on the same items.
        chosen: whose confusions are shown first.
        key: tells the widgets from those of others.
    """
    st.subheader("Precision, recall and F1", anchor=False)
    head, rows = class_table(scores, chosen)
    views.text_table(head, rows, numbers=True, label="Precision, recall and F1 by class", first_width="9rem")
    if (classes := len(scores[chosen].classes)) > MOST_SQUARES:
        st.caption(f"The {MOST_SQUARES} of {classes} classes with the lowest F1 of the {chosen.lower()}.")
    st.caption("In brackets: 95% intervals (Wilson over distinct texts). Precision: right among the items that get the label; recall: "
               "right among those that have it; F1: their harmonic mean.")
    left, right = st.columns(2, gap="large")
    with left:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown("**What is taken for what**", width="content")
            who = st.segmented_control("Confusions of", list(scores), default=chosen, required=True, key=f"confusions.{key}",
                                       label_visibility="collapsed") if len(scores) > 1 else chosen
        _confusions(scores[who or chosen], who or chosen, key)
    with right:
        st.markdown("**Calibration**", help=CALIBRATION_HELP)
        live_plotly(reliability(scores), key=f"reliability.{key}", label="Accuracy over confidence: " + "; ".join(
            f"{name}: {calibration_words(each)}" for name, each in scores.items()))
        st.markdown("\n".join(f"- {name}: {calibration_words(each)}" for name, each in scores.items()))


def calibration_words(scores: ClassScores) -> str:
    """Return the calibration error beside what chance gives, and what it says."""
    sure = sum(each.items * (each.confidence - each.accuracy) for each in scores.bins)
    verdict = "no more than chance gives" if scores.ece <= scores.ece_by_chance else "overconfident" if sure > 0 else "underconfident"
    return f"ECE {100 * scores.ece:.1f} points, by chance up to {100 * scores.ece_by_chance:.1f}: {verdict}"


def class_table(scores: Mapping[str, ClassScores], chosen: str) -> tuple[list[str], list[list[str]]]:
    """Return head and rows: each class with precision, recall and F1 of each classifier, the macro mean first.

    Args:
        chosen: by whose F1 classes are ordered where there are too many to show all, the lowest first.
    """
    order = list(range(len(scores[chosen].classes)))
    if len(order) > MOST_SQUARES:
        order = sorted(order, key=lambda number: scores[chosen].classes[number].f1 or 0.0)[:MOST_SQUARES]
    total = sum(each.items for each in scores[chosen].classes)
    rows = [["All, macro" if first else "", f"{total:,}" if first else "", name, "", "", share(one.macro_f1)]
            for first, (name, one) in zip((True, *[False] * len(scores)), scores.items(), strict=False)]
    for number in order:
        for first, (name, one) in zip((True, *[False] * len(scores)), scores.items(), strict=False):
            each = one.classes[number]
            rows.append([each.label if first else "", f"{each.items:,}" if first else "", name, share(each.precision), share(each.recall),
                         _percent(each.f1)])
    return ["Class", "Items", "Classifier", "Precision", "Recall", "F1"], rows


def share(found: Estimate | None) -> str:
    """Return a share with its interval; a dash where there is nothing to divide by."""
    if found is None:
        return "–"
    return _percent(found.value) if found.low is None else f"{found.value:.1%}\n({found.low:.1%}\u00a0to\u00a0{found.high:.1%})"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


# ---------------------------------------------------------------------------------------------------- confusions


def _confusions(scores: ClassScores, who: str, key: str) -> None:
    if len(scores.classes) <= MOST_SQUARES:
        words = "; ".join(f"{count} {scores.classes[right].label} as {scores.classes[given].label}"
                          for right, given, count in scores.confusion)
        live_plotly(confusion(scores), key=f"confusion.{key}.{who}", label=f"Confusions, {who}, right as given label: {words}")
    wrong = confusions(scores)
    if not wrong:
        st.caption("Nothing is taken for anything else.")
    elif len(scores.classes) > MOST_SQUARES:
        views.text_table(["Right", "Given", "Items", "Of its class"], wrong[:LISTED], numbers=True, label="The most frequent confusions")
        if len(wrong) > LISTED:
            st.caption(f"The {LISTED} most frequent of {len(wrong):,} pairs.")


def confusions(scores: ClassScores) -> list[list[str]]:
    """Return a row for each pair of classes that is confused, the most frequent first."""
    wrong = sorted((cell for cell in scores.confusion if cell[0] != cell[1]), key=lambda cell: -cell[2])
    return [[scores.classes[right].label, scores.classes[given].label, f"{count:,}", f"{count / scores.classes[right].items:.0%}"]
            for right, given, count in wrong]


def confusion(scores: ClassScores) -> go.Figure:
    """Return the confusion matrix: right labels from top to bottom, given ones from left to right, shaded by the share of the right one."""
    size, labels = len(scores.classes), [html.escape(each.label, quote=False) for each in scores.classes]
    counts = np.zeros((size, size), int)
    for right, given, count in scores.confusion:
        counts[right, given] = count
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    squares = {"type": "heatmap", "z": shares, "x": labels, "y": labels, "text": counts, "showscale": False, "zmin": 0, "zmax": 1,
               "xgap": 2, "ygap": 2, "colorscale": [[0, "rgba(123,133,140,0.08)"], [1, "rgba(15,133,122,0.55)"]],
               "hovertemplate": "%{y} taken for %{x}: %{text:,}, %{z:.1%} of its class<extra></extra>"}
    # Texts of their own take the theme's colour; those of a heatmap take one against shades that let the page through.
    numbers = {"type": "scatter", "mode": "text", "x": labels * size, "y": [label for label in labels for _ in labels],
               "text": [f"{count:,}" for count in counts.flat], "hoverinfo": "skip"}
    return charts.figure([squares, numbers], height=min(130 + 56 * size, 640), x_title="given", y_title="right", legend=False,
                         hovermode="closest", x_axis={"type": "category"}, y_axis={"type": "category", "autorange": "reversed"})


# ---------------------------------------------------------------------------------------------------- calibration


def reliability(scores: Mapping[str, ClassScores]) -> go.Figure:
    """Return accuracy over confidence, a point for each bin whose size is that of its items, and the diagonal of perfect calibration."""
    low = min((each.low for one in scores.values() for each in one.bins), default=0.0)
    traces: list[charts.Trace] = [{"type": "scatter", "mode": "lines", "x": [low, 1], "y": [low, 1], "name": "perfect",
                                   "line": {"color": GREY, "dash": "dot", "width": 1.2}, "hoverinfo": "skip"}]
    for number, (name, one) in enumerate(scores.items()):
        total = sum(each.items for each in one.bins)
        colour = COLOURS.get(name, SERIES[number % len(SERIES)])
        traces.append({"type": "scatter", "mode": "lines+markers", "x": [each.confidence for each in one.bins],
                       "y": [each.accuracy for each in one.bins], "name": name, "line": {"color": colour, "width": 1.5},
                       "marker": {"color": colour, "size": [6 + 16 * (each.items / total) ** 0.5 for each in one.bins], "opacity": 0.75},
                       "text": [f"{each.items:,} items" for each in one.bins],
                       "hovertemplate": f"{html.escape(name)}: %{{x:.0%}} sure, %{{y:.0%}} right, %{{text}}<extra></extra>"})
    return charts.figure(traces, height=330, x_title="confidence", y_title="accuracy", legend=True, hovermode="closest",
                         x_axis={"tickformat": ".0%"}, y_axis=charts.PERCENT)


# ---------------------------------------------------------------------------------------------------- mistakes


def mistakes(found: Sequence[Mistake], names: Mapping[str, str]) -> None:
    """Draw what is wrong with the most confidence.

    Args:
        names: subject -> who in words.
    """
    st.markdown("**Most confident mistakes of the student**")
    if not found:
        st.caption("None: every held-out item gets its label.")
        return
    who = [subject for subject in names if subject in found[0].given]
    rows = [[_cut(each.text), each.right, *(f"{each.given[subject]}\n{each.confidence[subject]:.0%} sure" for subject in who)]
            for each in found]
    head = ["Text", "Right", *(names[subject] for subject in who)]
    views.text_table(head, rows[:FIRST], label="The most confident mistakes", first_width="55%")
    if rest := rows[FIRST:]:
        with st.expander(f"{len(rest)} more", key="more mistakes"):
            views.text_table(head, rest, label="Further mistakes", first_width="55%")


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS].rstrip()} …"
