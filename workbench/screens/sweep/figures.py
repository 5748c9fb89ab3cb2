"""Figures of a sweep: one key as a line with its band, two as a heat map, more as parallel coordinates."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from core.metrics import metric
from core.studies.sweeps.cells import typed
from core.studies.sweeps.ranking import CellScores
from workbench.screens.shared import charts, views
from workbench.screens.shared.theme import GREY, TEAL

# Of TEAL; words on any colour between the first two have a contrast of at least 4.5:1.
PALE, FULL, BAND, WORDS = "#e6f2f0", "#63b3a8", "rgba(15, 133, 122, 0.22)", "#0b2b28"
WIDE, FEW = 20, 5  # from this ratio of the ends an axis is logarithmic; up to so many values each has its own tick
ROW = 46  # pixels of a row of the heat map


def result_figure(cells: Sequence[CellScores], keys: Sequence[str], name: str, *, listed: bool) -> go.Figure | None:
    """Return the figure that suits the number of keys; None without a key, or before two settings were measured.

    Args:
        cells: in their own order.
        listed: whether the values of the keys are listed ones, as in a grid, and not drawn from ranges.
    """
    found = [cell for cell in cells if cell.scores(name)]
    if not keys or len(found) < 2:
        return None
    if len(keys) == 1:
        return line_with_band(found, keys[0], name)
    return heat_map(found, keys, name) if len(keys) == 2 and listed else parallel(found, keys, name)


def line_with_band(cells: Sequence[CellScores], key: str, name: str) -> go.Figure:
    """Return the mean over the values of one key, with its 95% interval as a band; values that are no numbers stand side by side."""
    values = [typed(cell.values[key]) for cell in cells]
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    order = sorted(range(len(cells)), key=lambda place: values[place]) if numbers else list(range(len(cells)))
    x = [values[place] if numbers else shown(cells[place].values[key]) for place in order]
    estimates = [cells[place].estimate(name) for place in order]
    means = [each.value for each in estimates if each is not None]
    band = [(place, each.low, each.high) for place, each in zip(x, estimates, strict=True)
            if each is not None and each.low is not None and each.high is not None]
    traces: list[dict[str, Any]] = []
    if band:
        edges = [place for place, *_ in band]
        traces.append({"type": "scatter", "x": [*edges, *reversed(edges)], "y": [*(high for *_, high in band),
                       *(low for _, low, _ in reversed(band))], "fill": "toself", "fillcolor": BAND, "line": {"width": 0}, "mode": "lines",
                       "name": "95% interval", "hoverinfo": "skip"})
    bars = {"type": "data", "array": [each.margin or 0.0 for each in estimates if each is not None], "color": TEAL, "thickness": 1,
            "width": 4}
    traces.append({"type": "scatter", "error_y": bars, "mode": "lines+markers" if numbers else "markers", "x": x, "y": means,
                   "name": "mean over seeds", "line": {"color": TEAL, "width": 2}, "marker": {"size": 8, "color": TEAL}})
    runs = [(place, value) for place, number in zip(x, order, strict=True) for value in cells[number].scores(name).values()]
    traces.append({"type": "scatter", "mode": "markers", "x": [place for place, _ in runs], "y": [value for _, value in runs],
                   "name": "one run", "marker": {"size": 5, "color": TEAL, "opacity": 0.45}, "hoverinfo": "skip"})
    spread = numbers and len(x) > 2 and min(values) > 0 and max(values) / min(values) > WIDE
    return charts.figure(traces, height=340, x_title=html.escape(key), y_title=charts.axis_label(f"eval/{name}"), legend=True,
                         x_axis={"type": "log" if spread else "linear" if numbers else "category"},
                         y_axis=charts.TICKS.get(f"eval/{name}"))


def heat_map(cells: Sequence[CellScores], keys: Sequence[str], name: str) -> go.Figure:
    """Return the means as a map of two keys, the better the darker, each with the half of its interval."""
    across, down = (list(dict.fromkeys(cell.values[key] for cell in cells)) for key in keys)
    where = {(cell.values[keys[0]], cell.values[keys[1]]): cell for cell in cells}
    means: list[list[float | None]] = []
    texts: list[list[str]] = []
    for row in down:
        found = [where.get((column, row)) for column in across]
        estimates = [cell.estimate(name) if cell is not None else None for cell in found]
        means.append([None if each is None else each.value for each in estimates])
        texts.append(["" if each is None else views.number(each.value, f"eval/{name}") + (
            "" if each.margin is None else f"<br>± {margin_text(each.margin, name)}") for each in estimates])
    scale = [[0, PALE], [1, FULL]] if metric(f"eval/{name}").better == "higher" else [[0, FULL], [1, PALE]]
    trace = {"type": "heatmap", "x": [shown(each) for each in across], "y": [shown(each) for each in down], "z": means, "text": texts,
             "texttemplate": "%{text}", "textfont": {"color": WORDS}, "colorscale": scale, "xgap": 2, "ygap": 2, "hoverongaps": False,
             "hovertemplate": "%{x}, %{y}: %{z:.4g}<extra></extra>",
             "colorbar": {"title": {"text": charts.axis_label(f"eval/{name}"), "side": "right"}, "thickness": 12, "len": 1.0}}
    return charts.figure([trace], height=120 + ROW * max(len(down), 3), x_title=html.escape(keys[0]), y_title=html.escape(keys[1]),
                         legend=False, hovermode="closest", x_axis={"type": "category"},
                         y_axis={"type": "category", "autorange": "reversed"})


def parallel(cells: Sequence[CellScores], keys: Sequence[str], name: str) -> go.Figure:
    """Return one line a setting through an axis for each key and one for the mean; drag along an axis to pick a part of it."""
    means = [each.value for cell in cells if (each := cell.estimate(name)) is not None]
    dimensions = [_dimension(key, [cell.values[key] for cell in cells]) for key in keys]
    dimensions.append({"label": charts.axis_label(f"eval/{name}"), "values": means})
    scale = [[0, GREY], [1, TEAL]] if metric(f"eval/{name}").better == "higher" else [[0, TEAL], [1, GREY]]
    trace = {"type": "parcoords", "dimensions": dimensions, "line": {"color": means, "colorscale": scale}}
    return charts.figure([trace], height=380, y_title="", legend=False, margin={"l": 64, "r": 64, "t": 64, "b": 24})


def _dimension(key: str, texts: Sequence[str]) -> dict[str, Any]:
    values = [typed(text) for text in texts]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        few = sorted(set(values))
        if few[0] > 0 and few[-1] / few[0] > WIDE:
            low, high = math.log10(few[0]), math.log10(few[-1])
            ticks = [low + (high - low) * place / 4 for place in range(5)] if len(few) > FEW else [math.log10(value) for value in few]
            return {"label": html.escape(key), "values": [math.log10(value) for value in values], "tickvals": ticks,
                    "ticktext": [f"{10**tick:.3g}" for tick in ticks]}
        return {"label": html.escape(key), "values": values} | ({"tickvals": few} if len(few) <= FEW else {})
    names = list(dict.fromkeys(texts))
    return {"label": html.escape(key), "values": [names.index(text) for text in texts], "tickvals": list(range(len(names))),
            "ticktext": [shown(text) for text in names]}


def margin_text(margin: float, name: str) -> str:
    """Return half of an interval: of a share in points."""
    return f"{100 * margin:.2g} points" if f"eval/{name}" in views.SHARES else f"{margin:.2g}"


def shown(text: str) -> str:
    """Return a value for an axis, short, with nothing in it that plotly reads as markup."""
    return html.escape(text if len(text) <= 24 else f"{text[:23]}…", quote=False)
