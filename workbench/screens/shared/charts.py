"""Figures: a DataFrame goes in, a plotly figure comes out; one function a figure, and nothing is read or written here.

Curves arrive as a long table with the columns "arm" (the variant: student or control), ``name`` (a key of `core.metrics.METRICS`),
``step`` (optimiser steps) and ``value`` (in the metric's unit), steps ascending within each curve. The figures of a page that is
watched take the table split into `Lines` too, and give `Plain` data: they are drawn again with every new point.
"""

from __future__ import annotations

import html
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from core.loss_terms import LOSS_TERMS
from core.metrics import metric
from core.recorder import CONTROL, STUDENT
from workbench.screens.shared.theme import BLUE, BROWN, GREY, OLIVE, ROLE_COLOURS, ROSE, SERIES, TEAL, VIOLET

Trace = dict[str, Any]  # plain data of a plotly object


class Curve(NamedTuple):
    """One curve: steps, ascending, and the value at each; (points,) both."""

    steps: np.ndarray
    values: np.ndarray


Lines = Mapping[tuple[str, str], Curve]  # (variant, name of a metric) -> its curve, each with a point or more
NO_CURVE = Curve(np.empty(0, dtype=np.int64), np.empty(0))


@dataclass(frozen=True)
class Plain:
    """A figure in plain data: plotly checks it, and copies every point, only where it is needed whole."""

    data: list[Trace]
    layout: Trace

    def checked(self) -> go.Figure:
        """Return the figure. Raises ValueError for what plotly does not know."""
        return go.Figure([dict(trace) for trace in self.data], dict(self.layout))  # plotly takes a trace's type out for a moment


POINTS = 1500  # per curve and refresh: more cannot be distinguished on a screen and cost the browser long tasks
# Grey is the total's, copper the teacher's.
TERM_COLOURS = {term.name: colour for term, colour in zip(LOSS_TERMS, (TEAL, BLUE, VIOLET, ROSE, OLIVE, BROWN), strict=False)}
AIR = 0.03  # room outside the ends of an axis, in shares of it
# Shares lie between nothing and everything: plotly scales within that, to both sides of a single point too.
PERCENT = {"tickformat": ".0%", "autorangeoptions": {"clipmin": -AIR, "clipmax": 1 + AIR}}
FROM_STEP_0: Trace = {"autorangeoptions": {"clipmin": 0}}
TICKS: dict[str, Trace] = {
    "learning_rate": {"tickformat": "~g", "nticks": 5},
    **dict.fromkeys(("eval/agreement", "eval/sentiment_accuracy", "eval/masked_accuracy", "eval/accuracy", "eval/exact_match",
                     "eval/answer_f1", "eval/f1"), PERCENT)}
BAR_ROW, BAR_ROOM = 25, 1.5  # pixels of a bar; the axis in bars of the longest, with room for the words behind it
TOOLBAR, LEGEND = 28, 26  # pixels above the plot: the toolbar lies over the legend, not on it
TALLEST = 25  # bars of the distribution at T = 1 end at that many times the highest softened one, which else would vanish
SMOOTHING_FROM = 60  # points; shorter curves are drawn as they are
DOT_ROW, DOT_SPACING = 46, 0.22  # pixels of a line of dots; distance between two series, in lines


def split(curves: pd.DataFrame) -> dict[tuple[str, str], Curve]:
    """Return every curve of the table."""
    return {(str(variant), str(name)): Curve(rows["step"].to_numpy(), rows["value"].to_numpy(dtype=float))
            for (variant, name), rows in curves.groupby(["arm", "name"], observed=True, sort=False)}


def downsample(curve: Curve, points: int = POINTS) -> Curve:
    """At most `points` of them (plus the ends) that keep the lowest and the highest value of each stretch, so spikes stay visible."""
    count = len(curve.steps)
    if count <= points:
        return curve
    values = curve.values
    stretch = -(-count // (points // 2))
    padded = np.full(-(-count // stretch) * stretch, np.nan)
    padded[:count] = values
    rows = padded.reshape(-1, stretch)
    starts = np.arange(len(rows)) * stretch
    lowest = starts + np.where(np.isnan(rows), np.inf, rows).argmin(axis=1)
    highest = starts + np.where(np.isnan(rows), -np.inf, rows).argmax(axis=1)
    keep = np.unique(np.concatenate(([0], lowest, highest, [count - 1])))
    keep = keep[keep < count]
    return Curve(curve.steps[keep], values[keep])


@dataclass(frozen=True, slots=True)
class Ahead:
    """What a run has not logged yet, so that its place is seen from the first point on.

    Attributes:
        control: whether a control is trained after the student.
        steps: of each variant; None while that is not known.
    """

    control: bool = False
    steps: int | None = None

    def awaits(self, curves: Lines) -> bool:
        """Return whether the control has not begun; what it is measured at before its first step is the student's."""
        return self.control and not any(variant == CONTROL and curve.steps[-1] > 0 for (variant, _), curve in curves.items())

    def place_of(self, curves: Lines) -> list[Trace]:
        """Return an entry of the legend for a control that has not begun."""
        if not self.awaits(curves):
            return []
        return [{"type": "scatter", "mode": "lines", "x": np.full(1, np.nan), "y": np.full(1, np.nan), "name": AWAITED,
                 "line": {"color": ROLE_COLOURS["control"], "width": 2, "dash": "dash"}, "hoverinfo": "skip"}]

    @property
    def x_axis(self) -> Trace:
        """The axis of steps, to the last one that will be."""
        return {} if self.steps is None else {"autorangeoptions": {**FROM_STEP_0["autorangeoptions"], "include": [0, self.steps]}}


NOTHING_AHEAD = Ahead()
AWAITED = "control: after the student"


def term_losses(curves: pd.DataFrame | Lines, *, weighted: bool = True, logarithmic: bool = False, masked: bool = False,
                per: str = "token", ahead: Ahead = NOTHING_AHEAD) -> Plain:
    """One curve per loss term, and their sum when `weighted`; the control's dashed, over the same steps.

    Args:
        masked: as in `core.metrics.metric`.
        per: what raw terms are a mean over.
    """
    lines = _lines(curves)
    traces: list[Trace] = []
    for variant in (STUDENT, CONTROL):
        for term, colour in TERM_COLOURS.items():
            curve = lines.get((variant, f"{'loss' if weighted else 'raw'}/{term}"), NO_CURVE)
            if curve.values.any():
                label = metric(f"raw/{term}", masked=masked).label
                traces += _smoothed(curve, label if variant == STUDENT else f"{label} (control)", colour, dashed=variant == CONTROL)
    total = lines.get((STUDENT, "loss"))
    if weighted and len({trace["name"] for trace in traces}) > 1 and total is not None:
        traces += _smoothed(total, "total", GREY)
    traces += ahead.place_of(lines)
    logged = {name for _, name in lines}
    pure = [metric(f"raw/{term.name}", masked=masked).label for term in LOSS_TERMS if not term.unit and f"raw/{term.name}" in logged]
    raw = f"nats/{per} ({', '.join(pure)}: no unit)" if pure else f"nats/{per}"
    return plain(traces, height=360, y_title="loss" if weighted else raw, logarithmic=logarithmic, legend=True, x_axis=ahead.x_axis)


def evaluation(curves: pd.DataFrame | Lines, name: str, *, teacher: float | None = None, masked: bool = False,
               ahead: Ahead = NOTHING_AHEAD) -> Plain:
    """One held-out metric over the steps: the student, the control when there is one, the teacher's level dotted."""
    lines, traces = _lines(curves), []
    for variant, dash in ((STUDENT, "solid"), (CONTROL, "dash")):
        if (curve := lines.get((variant, name))) is not None:
            label = AWAITED if variant == CONTROL and ahead.awaits(lines) else variant
            traces.append(_line(curve, label, ROLE_COLOURS[variant], dash=dash) | {"mode": "lines+markers", "marker": {"size": 5}})
    if traces and AWAITED not in {trace["name"] for trace in traces}:
        traces += ahead.place_of(lines)
    logarithmic = name == "eval/perplexity"  # its logarithm is the cross-entropy
    level: Trace = {}
    if teacher is not None:
        line = {"color": ROLE_COLOURS["teacher"], "width": 1, "dash": "dot"}
        level["shapes"] = [{"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": teacher, "y1": teacher, "line": line}]
        level["annotations"] = [{"text": "teacher", "xref": "paper", "x": 1, "xanchor": "right", "yanchor": "bottom",
                                 "showarrow": False, "font": {"color": ROLE_COLOURS["teacher"], "size": 11},
                                 "y": math.log10(teacher) if logarithmic else teacher}]
    return plain(traces, height=250, y_title=axis_label(name, masked=masked), legend=len(traces) > 1, logarithmic=logarithmic,
                 y_axis=TICKS.get(name), x_axis=ahead.x_axis, **level)


def single(curves: pd.DataFrame | Lines, name: str) -> Plain:
    """Return a small figure of one training metric of each variant."""
    lines = _lines(curves)
    traces = [_line(downsample(lines[variant, name]), variant, ROLE_COLOURS[variant])
              for variant in (STUDENT, CONTROL) if (variant, name) in lines]
    return plain(traces, height=215, y_title=axis_label(name), legend=len(traces) > 1, y_axis=TICKS.get(name))


def overlay(curves: pd.DataFrame, name: str) -> go.Figure:
    """Return the figure of one metric of several runs; `curves` has one more column, ``run``, with each run's name."""
    traces = []
    for index, (run, table) in enumerate(curves.groupby("run", sort=False)):
        lines = split(table[table["name"] == name])
        for variant, dash in ((STUDENT, "solid"), (CONTROL, "dash")):
            if (curve := lines.get((variant, name))) is not None:
                curve = downsample(smooth(curve) if len(curve.steps) >= SMOOTHING_FROM else curve)
                label = str(run) if variant == STUDENT else f"{run} (control)"
                traces.append(_line(curve, label, SERIES[index % len(SERIES)], dash=dash))
    # Below the figure, where names of any length have room: above it the second line of them would lie on the curves.
    return figure(traces, height=360 + LEGEND * len(traces), y_title=axis_label(name), logarithmic=name == "eval/perplexity",
                  y_axis=TICKS.get(name), legend={"orientation": "v", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0},
                  margin={"l": 8, "r": 8, "t": TOOLBAR, "b": 56 + LEGEND * len(traces)})


def temperature(tokens: pd.DataFrame, value: float) -> go.Figure:
    """Return the figure of a next-token distribution at T = 1 and softened at T = `value`.

    Args:
        tokens: columns ``token`` (text), ``plain`` (probability at T = 1) and ``softened`` (probability at T), most likely first.
        value: the temperature T.
    """
    places = list(range(len(tokens)))  # two tokens may read the same
    shown = [html.escape(token, quote=False) for token in tokens["token"]]  # plotly reads <b> or <br> in a label as markup
    bars = (("plain", "T = 1", GREY, 0.55), ("softened", f"T = {value:g}", TEAL, 1.0))
    top = TALLEST * tokens["softened"].max()
    traces = []
    for column, label, colour, opacity in bars:
        shares = tokens[column].to_numpy()
        cut = [f"{share:.0%} ↑" if share > top else "" for share in shares]
        traces.append({"type": "bar", "x": places, "y": np.minimum(shares, top), "name": label, "opacity": opacity,
                       "customdata": shares, "hovertemplate": "%{customdata:.2%}", "text": cut, "textposition": "inside",
                       "insidetextanchor": "end", "textangle": -90, "constraintext": "none", "textfont": {"size": 10},
                       "marker": {"color": colour, "line": {"width": 0}}})
    return figure(traces, height=270, y_title="probability", x_title="", legend=True, barmode="group", bargap=0.25,
                  x_axis={"tickvals": places, "ticktext": shown, "tickangle": -40},
                  y_axis={"tickformat": "~%", "rangemode": "tozero"})


def intervals(points: pd.DataFrame, *, x_title: str, colours: Mapping[str, str], hollow: Collection[str] = (),
              reference: float | None = None, tick_format: str = "~g") -> go.Figure:
    """Dots with their intervals, one line for each label and within it one dot for each series.

    Args:
        points: columns ``label``, ``series``, ``value``, ``low`` and ``high`` (NaN where there is no interval); labels stand from top to
            bottom as they first occur.
        colours: series -> colour, in the order of the legend.
        hollow: series that were not measured here, drawn as open diamonds.
        reference: position of a dotted line, such as no difference.
        tick_format: of the numbers, in d3's notation.
    """
    labels, shown = list(dict.fromkeys(points["label"])), [each for each in colours if each in set(points["series"])]
    traces = []
    for index, series in enumerate(shown):
        table = points[points["series"] == series]
        offset = (index - (len(shown) - 1) / 2) * DOT_SPACING
        values = table["value"].to_numpy(dtype=float)
        error = {"type": "data", "symmetric": False, "array": table["high"].to_numpy(dtype=float) - values,
                 "arrayminus": values - table["low"].to_numpy(dtype=float), "thickness": 1.6, "width": 4, "color": colours[series]}
        marker = {"size": 10, "color": colours[series]} | ({"symbol": "diamond-open", "line": {"width": 2}} if series in hollow else {})
        traces.append({"type": "scatter", "mode": "markers", "x": values, "y": [labels.index(each) + offset for each in table["label"]],
                       "name": series, "marker": marker, "error_x": error,
                       "text": [html.escape(each, quote=False) for each in table["label"]],
                       "hovertemplate": f"%{{text}}: %{{x:{tick_format}}}"})
    shapes = [] if reference is None else [{"type": "line", "yref": "paper", "y0": 0, "y1": 1, "x0": reference, "x1": reference,
                                            "layer": "below", "line": {"color": GREY, "width": 1.2, "dash": "dot"}}]
    ends = [*points[["low", "value", "high"]].stack().dropna(), *([] if reference is None else [reference])]
    room = 0.05 * ((max(ends) - min(ends)) or 1.0)
    return figure(traces, height=TOOLBAR + LEGEND + 60 + DOT_ROW * len(labels), x_title=x_title, y_title="", legend=len(shown) > 1,
                  shapes=shapes, hovermode="closest",
                  x_axis={"tickformat": tick_format, "nticks": 5, "range": [min(ends) - room, max(ends) + room]},
                  y_axis={"tickvals": list(range(len(labels))), "ticktext": [html.escape(each, quote=False) for each in labels],
                          "range": [len(labels) - 0.5, -0.5], "showgrid": False})


def ranked(bars: pd.DataFrame, *, colour: str, longest: float) -> go.Figure:
    """Horizontal bars from top to bottom, each with its probability and what there is to note; figures beside each other share a scale.

    Args:
        bars: columns ``label``, ``value`` (probability), ``mark`` (same, moved, new or lost: the bar is full, paler or striped in rose)
            and ``note`` (words behind the probability).
        colour: of bars that stand in both lists.
        longest: probability of the longest bar of all figures.
    """
    places, alone = list(range(len(bars))), bars["mark"].isin(["new", "lost"])
    labels = [html.escape(label, quote=False) for label in bars["label"]]
    texts = [f"{value:.1%}  {html.escape(note, quote=False)}".rstrip() for value, note in zip(bars["value"], bars["note"], strict=True)]
    marker = {"color": np.where(alone, ROSE, colour), "opacity": np.where(bars["mark"] == "moved", 0.65, 1.0),
              "pattern": {"shape": np.where(alone, "/", ""), "solidity": 0.25}, "line": {"width": 0}}
    trace: Trace = {"type": "bar", "orientation": "h", "x": bars["value"].to_numpy(dtype=float), "y": places, "marker": marker,
                    "text": texts, "textposition": "outside", "cliponaxis": False, "customdata": labels,
                    "hovertemplate": "%{customdata}: %{x:.2%}<extra></extra>"}
    # Nothing to zoom into: a finger that lands here scrolls the page.
    still: Trace = {"dragmode": False, "modebar": {"remove": ["zoom", "pan", "resetScale", "toImage"]}}
    return figure([trace], height=52 + BAR_ROW * len(bars), x_title="probability", y_title="", legend=False, hovermode="closest",
                  bargap=0.3, margin={"l": 8, "r": 8, "t": 4, "b": 8}, **still,
                  x_axis={"range": [0, longest * BAR_ROOM], "tickformat": "~%", "nticks": 5},
                  y_axis={"tickvals": places, "ticktext": labels, "range": [len(bars) - 0.4, -0.6], "showgrid": False})


def is_cut(tokens: pd.DataFrame) -> bool:
    """Whether `temperature` ends a bar before its value."""
    return bool(tokens["plain"].max() > TALLEST * tokens["softened"].max())


def select(curves: pd.DataFrame, variant: str, name: str) -> pd.DataFrame:
    """One curve of the table."""
    return curves[(curves["name"] == name) & (curves["arm"] == variant)]


def smooth(curve: Curve) -> Curve:
    """Exponential moving average over about a fiftieth of the curve.

    The span grows in steps of a fifth, so that between two of them new points leave the earlier ones where they are.
    """
    span = 1.2 ** math.floor(math.log(max(len(curve.steps) / 50, 2), 1.2))
    return Curve(curve.steps, pd.Series(curve.values).ewm(span=max(span, 2)).mean().to_numpy())


def axis_label(name: str, *, masked: bool = False) -> str:
    """Label of a metric with its unit."""
    about = metric(name, masked=masked)
    return f"{about.label} ({about.unit})" if about.unit else about.label


def _lines(curves: pd.DataFrame | Lines) -> Lines:
    return split(curves) if isinstance(curves, pd.DataFrame) else curves


def _smoothed(curve: Curve, label: str, colour: str, *, dashed: bool = False) -> list[Trace]:
    """Return the curve as it was logged, faint, under its moving average; a short curve as it is."""
    dash = "dash" if dashed else "solid"
    if len(curve.steps) < SMOOTHING_FROM:
        return [_line(curve, label, colour, dash=dash)]
    logged = _line(downsample(curve), label, colour, width=1) | {"opacity": 0.25, "showlegend": False, "hoverinfo": "skip"}
    return [logged, _line(downsample(smooth(curve)), label, colour, dash=dash)]


def _line(curve: Curve, label: str, colour: str, *, width: float = 2, dash: str = "solid") -> Trace:
    line = {"color": colour, "width": width, "dash": dash}
    return {"type": "scatter", "mode": "lines", "x": curve.steps, "y": curve.values, "name": label, "legendgroup": label, "line": line}


def figure(traces: list[Trace], **looks: Any) -> go.Figure:
    """Return a figure of the project's look, all at once: changing a plotly figure later costs ten times as much as making it.

    Args:
        looks: as of `plain`.
    """
    return plain(traces, **looks).checked()


def plain(traces: list[Trace], *, height: int, y_title: str, x_title: str = "step", legend: bool | Trace, logarithmic: bool = False,
          x_axis: Trace | None = None, y_axis: Trace | None = None, **layout: Any) -> Plain:
    """Return a figure of the project's look in plain data.

    Args:
        legend: whether there is one; where it stands, if not above the figure.
    """
    layout |= {"legend": legend} if isinstance(legend, dict) else {}
    x_axis = {"title": {"text": x_title, "font": {"size": 12}}} | (FROM_STEP_0 if x_title == "step" else {}) | (x_axis or {})
    scale = {"type": "log", "tickformat": "~g"} if logarithmic else {"type": "linear"}  # else minor ticks are single digits
    y_axis = {"title": {"text": y_title, "font": {"size": 12}}} | scale | (y_axis or {})
    margin = {"l": 8, "r": 8, "t": TOOLBAR + (LEGEND if legend is True else 0), "b": 8}
    return Plain(traces, {"height": height, "margin": margin, "showlegend": bool(legend), "xaxis": x_axis, "yaxis": y_axis} | layout)
