"""The figures of the page Specialists: tables and arrays go in, plotly figures come out."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.screens.shared import charts
from workbench.screens.shared.theme import GREY, TEAL

MOST_NAMED = 60  # classes whose names fit along the axes
TALLEST = 760  # pixels
BEYOND = 50  # one covariance in so many is beyond the ends of the colours
# Blue below 0, red above, readable on light and dark alike: what is near 0 fades into the page.
SCALE = [[0.0, "#3f78c4"], [0.5, "rgba(128,138,140,0.12)"], [1.0, "#c34f78"]]


def confusions(covariance: np.ndarray, order: Sequence[int], clusters: Sequence[int], labels: Sequence[str]) -> go.Figure:
    """Return the covariances of the generalist's predictions, classes of a cluster side by side, each cluster outlined.

    Variances, which are larger and no confusion, are left out; colours end at the covariance that one in `BEYOND` exceeds.

    Args:
        covariance: (C, C).
        order: classes as rows and columns.
        clusters: (C,) number of each class's cluster.
    """
    shown = covariance[np.ix_(order, order)].astype(float)
    np.fill_diagonal(shown, np.nan)
    limit = float(np.nanquantile(np.abs(shown), 1 - 1 / BEYOND)) or 1.0
    names, places = [html.escape(labels[each], quote=False) for each in order], list(range(len(order)))
    pairs = np.dstack([np.tile(names, (len(names), 1)), np.tile(names, (len(names), 1)).T])
    trace = {"type": "heatmap", "z": shown, "x": places, "y": places, "colorscale": SCALE, "zmin": -limit, "zmax": limit,
             "customdata": pairs, "hovertemplate": "%{customdata[1]} and %{customdata[0]}<br>covariance %{z:.2e}<extra></extra>",
             "hoverongaps": False,
             "colorbar": {"title": {"text": "covariance", "side": "top"}, "orientation": "h", "y": 1.0, "yanchor": "bottom",
                          "thickness": 12, "tickformat": ".0e", "nticks": 5}}
    named = {"tickvals": places, "ticktext": names} if len(order) <= MOST_NAMED else {"showticklabels": False}
    axis = {**named, "showgrid": False}
    # As wide as its column, so not always a square: on a phone one would be too small to read.
    return charts.figure([trace], height=min(TALLEST, 190 + 12 * len(order)), x_title="", y_title="", legend=False, hovermode="closest",
                         margin={"l": 8, "r": 8, "t": 80, "b": 8},
                         shapes=[_outline(first, last) for first, last in _runs([clusters[each] for each in order])],
                         x_axis={**axis, "tickangle": -90}, y_axis={**axis, "autorange": "reversed"})


def _runs(values: Sequence[int]) -> list[tuple[int, int]]:
    """Return the first and the last place of each run of equal values."""
    starts = [place for place, value in enumerate(values) if place == 0 or values[place - 1] != value]
    return [(first, after - 1) for first, after in zip(starts, [*starts[1:], len(values)], strict=True)]


def _outline(first: int, last: int) -> dict[str, object]:
    return {"type": "rect", "x0": first - 0.5, "x1": last + 0.5, "y0": first - 0.5, "y1": last + 0.5, "line": {"color": GREY, "width": 2}}


def improvements(points: pd.DataFrame) -> go.Figure:
    """Return each specialist's conditional accuracy minus the generalist's, with its interval; columns label, value, low and high."""
    in_points = points.assign(series="specialist", **{name: 100 * points[name] for name in ("value", "low", "high")})
    return charts.intervals(in_points, x_title="conditional accuracy, specialist minus generalist (points)",
                            colours={"specialist": TEAL}, reference=0.0, tick_format="+.1f")


def accuracies(points: pd.DataFrame) -> go.Figure:
    """Return accuracies with their intervals, one line for each; columns label, value, low and high."""
    return charts.intervals(points.assign(series="accuracy"), x_title="accuracy", colours={"accuracy": TEAL}, tick_format=".1%")


def opinion(names: Sequence[str], probabilities: Sequence[float], right: str, *, colour: str) -> go.Figure:
    """Return what one member says as bars, the right class marked.

    Args:
        names, probabilities: of its outcomes, the likeliest first.
    """
    bars = pd.DataFrame({"label": list(names), "value": list(probabilities), "mark": ["same"] * len(names),
                         "note": ["right" if name == right else "" for name in names]})
    return charts.ranked(bars, colour=colour, longest=1.0)


def picture(pixels: Sequence[Sequence[float]]) -> go.Figure:
    """Return an image in grey."""
    drawn = {"type": "heatmap", "z": np.asarray(pixels), "zmin": 0, "zmax": 1, "colorscale": "Greys", "showscale": False,
             "hoverinfo": "skip"}
    hidden = {"visible": False, "constrain": "domain"}
    return charts.figure([drawn], height=200, x_title="", y_title="", legend=False, x_axis=hidden,
                         y_axis={**hidden, "autorange": "reversed", "scaleanchor": "x"})
