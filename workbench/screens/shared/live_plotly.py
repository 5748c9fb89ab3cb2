"""Figures that keep their zoom while they refresh.

`st.plotly_chart` of the pinned Streamlit makes a new chart, with a new view, whenever its data change. This component
updates the one that is there, with the copy of plotly.js that the plotly package carries.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import TYPE_CHECKING

import plotly
import streamlit as st
from plotly.io.json import to_json_plotly
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route

from workbench.mounts import asset_path
from workbench.screens.shared.theme import PLOTLY_TEMPLATE

if TYPE_CHECKING:
    import plotly.graph_objects as go

DEFAULT_HEIGHT = 360  # pixels
SCRIPT_NAME = "plotly.min.js"

_mount = st.components.v2.component(
    "stillhouse_live_plotly",
    html='<div class="live-plotly" role="img" style="overflow:hidden"></div>',  # a figure never makes the page wider
    js=Path(__file__).with_suffix(".js").read_text(encoding="utf-8"),
    isolate_styles=False,  # plotly.js puts its own style sheet into the page's head
)


def live_plotly(figure: go.Figure, *, key: str, label: str = "") -> None:
    """Draw `figure` where it stands on the page, or bring the one already there up to date.

    Args:
        figure: any plotly figure; its template is replaced by the project's.
        key: identity of the figure on the page; zoom is kept as long as it stays the same.
        label: what the figure shows, for screen readers; its title when empty.
    """
    height = figure.layout.height or DEFAULT_HEIGHT
    _mount(key=key, height=int(height), data={  # what stands below it has its place before the figure is drawn
        "figure": figure_json(figure, key),
        "height": height,
        "label": label or figure.layout.title.text or "figure",
        "plotly": f"{asset_path(SCRIPT_NAME)}?{importlib.metadata.version('plotly')}",
    })


def figure_json(figure: go.Figure, key: str) -> str:
    """Return the figure as plotly.js reads it, with the project's template and a view that is kept under `key`."""
    spec = figure.to_plotly_json()
    spec["layout"] |= {"template": PLOTLY_TEMPLATE, "uirevision": figure.layout.uirevision or key}
    return to_json_plotly(spec)


def script_route() -> Route:
    """Return the server's route to plotly.js. Its address names the version, so that browsers may keep it."""
    path = Path(plotly.__file__).with_name("package_data") / SCRIPT_NAME

    async def script(_request: Request) -> FileResponse:
        return FileResponse(path, headers={"Cache-Control": "public, max-age=31536000, immutable"})

    return Route(asset_path(SCRIPT_NAME), script)
