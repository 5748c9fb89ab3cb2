"""The figures of a chain: a chain and plain numbers go in, a plotly figure comes out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from core.chains.folder import Chain, Point
from workbench.screens.chain import curve_analysis
from workbench.screens.shared.charts import Trace, figure
from workbench.screens.shared.theme import COPPER, GREY, TEAL, VIOLET

LOSS = "validation loss (nats/token)"
# method -> label, colour, dash, width; in the order of the legend
CURVES = {
    "substitution": ("substitution", TEAL, "solid", 2.5),
    "interpolation": ("interpolation, default alpha", VIOLET, "solid", 2.0),
    "best_alpha": ("interpolation, best alpha", VIOLET, "dot", 1.5),
    "alpha_0": ("alpha 0: larger anchor pruned", GREY, "dash", 1.3),
    "alpha_1": ("alpha 1: smaller anchor expanded", GREY, "dot", 1.3),
    "copied": ("smaller anchor expanded by duplication", GREY, "dashdot", 1.3),
    "nearest": ("nearest anchor, unchanged", GREY, "solid", 1.3),
}
ALWAYS = "nearest"  # what a created model has to beat


def size_quality(chain: Chain, *, size: int, expected: float | None, created: Mapping[str, tuple[int, float]],
                 method: str = curve_analysis.SUBSTITUTION, logarithmic: bool = False, everything: bool = False) -> go.Figure:
    """Return the figure of validation loss over parameters.

    Args:
        size: parameters of the selected size, marked by a line.
        expected: the loss that the measured curve of the selected method predicts there.
        created: models that were created and evaluated: name -> parameters and loss.
        logarithmic: whether the parameters are.
        method: whose curve is drawn; interpolation's where this one was not measured.
        everything: whether the curves of all other methods and baselines are drawn too.
    """
    traces: list[Trace] = []
    drawn = {method if len(curve_analysis.curve(chain, method)) else curve_analysis.INTERPOLATION, ALWAYS}
    for name, (label, colour, dash, width) in CURVES.items():
        table = curve_analysis.curve(chain, name)
        if len(table) and (everything or name in drawn):
            steps = {"shape": "hvh"} if name == "nearest" else {}
            mode = "lines+markers" if name in ("substitution", "interpolation") else "lines"
            traces.append(_scatter(table["parameters"], table["loss"], label, mode, marker={"size": 5},
                                   line={"color": colour, "dash": dash, "width": width, **steps}))
    anchors = chain.anchors
    traces.append(_scatter([each.parameters for each in anchors], [each.validation_loss for each in anchors], "anchors",
                           "markers+text", text=[str(each.number) for each in anchors], textposition="middle center",
                           textfont={"color": "#ffffff", "size": 10}, marker={"size": 17, "color": COPPER}))
    if created:
        sizes, losses = zip(*created.values(), strict=True)
        traces.append(_scatter(list(sizes), list(losses), "created", "markers",
                               text=list(created), marker={"size": 11, "color": TEAL, "symbol": "diamond"},
                               hovertemplate="%{text}: %{y:.3f} nats/token"))
    if expected is not None:
        traces.append(_scatter([size], [expected], "expected here", "markers", showlegend=False,
                               marker={"size": 12, "color": TEAL, "symbol": "circle-open", "line": {"width": 2.5}}))
    level = anchors[0].validation_loss
    place = math.log10(size) if logarithmic else size
    shapes = [_level(level, COPPER), {"type": "line", "x0": size, "x1": size, "yref": "paper", "y0": 0, "y1": 1,
                                      "line": {"color": TEAL, "width": 1.2, "dash": "dot"}}]
    notes = [_note("teacher", COPPER, x=0, xref="paper", xanchor="left", y=level, yanchor="top"),
             _note(f"expected {expected:.2f} nats/token" if expected is not None else "", TEAL, x=place, y=1, yref="paper", yanchor="top",
                   xanchor="left" if size < (anchors[0].parameters + anchors[-1].parameters) / 2 else "right")]
    return figure(traces, height=460, y_title=LOSS, x_title="parameters", legend={"y": -0.16, "yanchor": "top"},
                  shapes=shapes, annotations=notes, hovermode="closest",
                  x_axis={"type": "log" if logarithmic else "linear", "tickformat": ".2s" if logarithmic else "~s", "nticks": 8})


def random_level(chain: Chain) -> float | None:
    """Mean loss of new weights over the measured sizes: far above everything, so it is said and not drawn."""
    losses = [loss for point in chain.curve if (loss := point.losses.get("random")) is not None]
    return sum(losses) / len(losses) if losses else None


def alpha_sweep(chain: Chain, point: Point) -> go.Figure:
    """Loss over alpha at one measured size, with the levels of both anchors and of substitution."""
    large, small = curve_analysis.anchors_around(chain, point.target)
    default = curve_analysis.interpolation_loss(point)
    measured = sorted({**{float(alpha): loss for alpha, loss in point.alphas.items()}, point.alpha: default}.items())
    alphas, losses = zip(*measured, strict=True)
    traces = [_scatter(alphas, losses, "interpolation", "lines+markers", line={"color": VIOLET, "width": 2}, marker={"size": 6}),
              _scatter([point.alpha], [default], "default alpha", "markers",
                       marker={"size": 13, "color": VIOLET, "symbol": "circle-open", "line": {"width": 2.5}})]
    shapes, notes = [], []
    levels = [(small.validation_loss, f"anchor {small.number}, the smaller one", COPPER),
              (large.validation_loss, f"anchor {large.number}, the larger one", COPPER)]
    substitution = point.losses.get("substitution")
    if substitution is not None:
        levels.append((substitution, "substitution", TEAL))
    for level, label, colour in levels:
        shapes.append(_level(level, colour))
        side = "left" if level == small.validation_loss else "right"  # the curve begins at the larger anchor's end, and ends at this one's
        notes.append(_note(label, colour, x=int(side == "right"), xref="paper", xanchor=side, y=level, yanchor="bottom"))
    return figure(traces, height=330, y_title=LOSS, x_title="alpha: share of the smaller anchor", legend=True, shapes=shapes,
                  annotations=notes, x_axis={"range": [-0.04, 1.04]}, hovermode="closest")


def ledger(spent: curve_analysis.Costs, unit: str, most: int) -> go.Figure:
    """Return the figure of what N sizes cost through the chain and by N direct distillations.

    Args:
        unit: ``tokens`` or ``seconds``.
        most: the largest N.
    """
    sizes = np.arange(1, most + 1)
    chain = spent.tokens if unit == "tokens" else spent.seconds
    each = spent.direct(1)[0 if unit == "tokens" else 1]
    scale, title = (1, "tokens, by the student") if unit == "tokens" else (60, "minutes") if chain > 180 else (1, "seconds")
    traces = [_scatter(sizes, sizes * each / scale, "N direct distillations", "lines", line={"color": GREY, "width": 2, "dash": "dash"}),
              _scatter(sizes, np.full(most, chain / scale), "one chain", "lines", line={"color": TEAL, "width": 2.5})]
    return figure(traces, height=270, y_title=title, x_title="sizes wanted (N)", legend=True,
                  y_axis={"rangemode": "tozero", "tickformat": "~s"}, x_axis={"range": [1, most]})


def _scatter(x: Any, y: Any, name: str, mode: str, **rest: Any) -> Trace:
    return {"type": "scatter", "x": np.asarray(x), "y": np.asarray(y), "name": name, "mode": mode,
            "hovertemplate": "%{x:.3s} · %{y:.3f}", **rest}


def _level(y: float, colour: str) -> Trace:
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y, "layer": "below",
            "line": {"color": colour, "width": 1, "dash": "dot"}}


def _note(text: str, colour: str, **place: Any) -> Trace:
    return {"text": text, "showarrow": False, "font": {"color": colour, "size": 11}, **place}
