"""The colours that figures share with the pages, readable on the light and on the dark background alike.

Every series colour has a contrast of at least 3:1 with both backgrounds (WCAG 1.4.11), so that one figure serves both
themes; `workbench/.streamlit/config.toml` gives the pages the same series.
"""

from __future__ import annotations

from typing import Any, Literal

TEAL, COPPER, VIOLET, BLUE, ROSE, OLIVE, BROWN, GREY = SERIES = (
    "#0f857a", "#c8651b", "#8b62c4", "#3f78c4", "#c34f78", "#75871f", "#a26d45", "#7b858c")

# Who is drawn in which colour, on every page: the accent belongs to the student.
ROLE_COLOURS = {"student": TEAL, "teacher": COPPER, "control": GREY}

BadgeColour = Literal["red", "orange", "yellow", "blue", "green", "violet", "gray", "grey", "primary"]  # what `st.badge` takes

# Text, grid and hover colours follow the page's theme and are filled in by the browser (live_plotly.js).
PLOTLY_TEMPLATE: dict[str, Any] = {
    "layout": {
        "colorway": list(SERIES),
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 56, "r": 34, "t": 64, "b": 44},
        "hovermode": "x unified",
        "hoverlabel": {"namelength": -1},
        "title": {"x": 0, "xref": "paper", "y": 0.98, "yanchor": "top", "font": {"size": 15}},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        # As the background is transparent, plotly would take the toolbar for one on black.
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": GREY, "activecolor": TEAL},
        "font": {"size": 12},
        "xaxis": {"automargin": True, "zeroline": False, "title": {"standoff": 8, "font": {"size": 12}}},
        "yaxis": {"automargin": True, "zeroline": False, "title": {"standoff": 8, "font": {"size": 12}}},
    },
}
