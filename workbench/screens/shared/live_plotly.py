"""Figures that keep their zoom while they refresh.

`st.plotly_chart` of the pinned Streamlit makes a new chart, with a new view, whenever its data change. This component
updates the one that is there, with the copy of plotly.js that the plotly package carries. A live one hears of new points by a websocket
of its own (`live`), without a rerun of the script.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly
import streamlit as st
from plotly.io.json import to_json_plotly
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route

from workbench.mounts import asset_path
from workbench.screens.shared.charts import Plain
from workbench.screens.shared.live import Live
from workbench.screens.shared.theme import PLOTLY_TEMPLATE

if TYPE_CHECKING:
    import plotly.graph_objects as go

DEFAULT_HEIGHT = 360  # pixels
SCRIPT_NAME = "plotly.min.js"
COORDINATES = ("x", "y")
LONGEST_TAIL = 400  # points; an update with more of them is sent as a whole figure, whose arrays are smaller than their digits


def with_loader(script: Path) -> str:
    """Return a component's script with ``loadPlotly`` in front of it, which loads plotly.js once for all components of a page."""
    return "".join(path.read_text(encoding="utf-8") for path in (Path(__file__).with_name("load_plotly.js"), script))


_mount = st.components.v2.component(
    "stillhouse_live_plotly",
    html='<div class="live-plotly" role="figure" style="overflow:hidden"></div>',  # never wider than the page; no img: it has buttons
    js=with_loader(Path(__file__).with_suffix(".js")),
    isolate_styles=False,  # plotly.js puts its own style sheet into the page's head
)


@dataclass(frozen=True)
class Drawn:
    """A figure as browsers get it.

    Attributes:
        version: names what it shows.
        height: in pixels.
        title: its title, or empty.
        frame: all of it but the coordinates of its traces.
        curves: the coordinates of each trace, x and y; None for one that has no such two arrays.
    """

    version: str
    height: int
    title: str
    frame: str
    curves: tuple[tuple[np.ndarray, np.ndarray] | None, ...]
    _whole: Callable[[], go.Figure]
    _layout: dict[str, Any]

    @cached_property
    def json(self) -> str:
        """The whole figure, as plotly.js reads it; made when it is first needed, for those who show it need new points only."""
        spec = self._whole().to_plotly_json()
        return to_json_plotly(spec | {"layout": spec["layout"] | self._layout})

    def since(self, before: Drawn) -> list[Any] | None:
        """Return what has to be added to an earlier figure to give this one.

        That is for each trace how many points stay, the x of those after them, and their y. None where more changed than ends of curves,
        or so much that the whole figure is shorter.
        """
        if self.frame != before.frame or None in self.curves:
            return None
        tails = [_tail(old, new) for old, new in zip(before.curves, self.curves, strict=True) if old is not None and new is not None]
        return tails if sum(len(x) for _, x, _ in tails) <= LONGEST_TAIL else None


def draw(figure: go.Figure | Plain, key: str) -> Drawn:
    """Prepare a figure for browsers, with the project's template and a view that is kept under `key`."""
    if isinstance(figure, Plain):
        data, layout, whole = figure.data, figure.layout, figure.checked
    else:
        given = figure
        data, layout, whole = [trace.to_plotly_json() for trace in given.data], given.layout.to_plotly_json(), lambda: given
    curves = tuple(map(_coordinates, data))
    frame = to_json_plotly({"layout": layout, "data": [
        trace if curve is None else {name: value for name, value in trace.items() if name not in COORDINATES}
        for trace, curve in zip(data, curves, strict=True)]})
    shown = hashlib.blake2b(f"{key} {frame}".encode(), digest_size=9)
    for values in (values for curve in curves if curve is not None for values in curve):
        shown.update(f"{values.dtype} {len(values)} ".encode() + values.tobytes())
    return Drawn(shown.hexdigest(), int(layout.get("height") or DEFAULT_HEIGHT), layout.get("title", {}).get("text") or "", frame, curves,
                 whole, {"template": PLOTLY_TEMPLATE, "uirevision": layout.get("uirevision") or key})


def live_plotly(figure: go.Figure | Plain | Drawn, *, key: str, label: str = "", live: Live | None = None) -> None:
    """Draw `figure` where it stands on the page, or bring the one already there up to date.

    Args:
        figure: any plotly figure, whose template is replaced by the project's; or one that is `draw`n already.
        key: identity of the figure on the page; zoom is kept as long as it stays the same.
        label: what the figure shows, for screen readers; its title when empty.
        live: what to follow for its new points.
    """
    drawn = figure if isinstance(figure, Drawn) else draw(figure, key)
    _mount(key=key, height=drawn.height, data={  # what stands below it has its place before the figure is drawn
        "figure": drawn.json,
        "height": drawn.height,
        "label": label or drawn.title or "figure",
        "plotly": script_address(),
        "live": live and live.of(drawn.version),
    })


def script_route() -> Route:
    """Return the server's route to plotly.js. Its address names the version, so that browsers may keep it."""
    path = Path(plotly.__file__).with_name("package_data") / SCRIPT_NAME

    async def script(_request: Request) -> FileResponse:
        return FileResponse(path, headers={"Cache-Control": "public, max-age=31536000, immutable"})

    return Route(asset_path(SCRIPT_NAME), script)


@cache
def script_address() -> str:
    """Return where browsers get plotly.js."""
    return f"{asset_path(SCRIPT_NAME)}?{importlib.metadata.version('plotly')}"


def _coordinates(trace: dict[str, Any]) -> tuple[np.ndarray, np.ndarray] | None:
    x, y = map(trace.get, COORDINATES)
    if not isinstance(x, np.ndarray) or not isinstance(y, np.ndarray) or len(x) != len(y):
        return None
    return (x, y) if x.dtype.kind in "if" and y.dtype.kind in "if" else None


def _tail(old: tuple[np.ndarray, np.ndarray], new: tuple[np.ndarray, np.ndarray]) -> tuple[int, list[float], list[float | None]]:
    """How many points stay, and the coordinates of those after them, gaps as None."""
    shorter = min(len(old[0]), len(new[0]))
    same = np.ones(shorter, dtype=bool)
    for before, after in zip(old, new, strict=True):
        same &= (before[:shorter] == after[:shorter]) | (np.isnan(before[:shorter]) & np.isnan(after[:shorter]))
    stay = shorter if same.all() else int(same.argmin())
    x, y = (values[stay:].tolist() for values in new)
    return stay, x, [value if np.isfinite(value) else None for value in y]
