"""What stands on a page and is kept up to date by a websocket, without a timer that reruns the script.

A page's pieces subscribe to names of one run, each with the version of what it shows: a figure receives its new points, a text its
new words, and a fragment that something changed, upon which it reruns. The other end is `workbench.screens.run.feed`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import streamlit as st
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route

from workbench.mounts import asset_path

SCRIPT = Path(__file__).with_name("live_feed.js")

_text = st.components.v2.component(
    "stillhouse_live_text",
    html='<p class="live-text"></p>',
    css=".live-text { margin: 0; font-size: 0.875rem; opacity: 0.6; }",  # as `st.caption`
    js=Path(__file__).with_name("live_text.js").read_text(encoding="utf-8"),
    isolate_styles=False,
)
_rerun = st.components.v2.component(
    "stillhouse_live_rerun",
    html='<span class="live-rerun"></span>',
    js=Path(__file__).with_name("live_rerun.js").read_text(encoding="utf-8"),
    isolate_styles=False,
)


@dataclass(frozen=True)
class Live:
    """What a piece of a page follows.

    Attributes:
        address: path and query of the websocket.
        name: of the piece there.
    """

    address: str
    name: str

    def of(self, version: str) -> dict[str, str]:
        """Return what the browser needs to follow it, beginning with what the page shows."""
        return {"address": self.address, "name": self.name, "version": version, "script": _script_address()}


def live_text(text: str, *, key: str, live: Live) -> None:
    """Draw a line of small text that follows a name of the feed."""
    _text(key=key, data={"text": text, "live": live.of(text)})


def rerun_when_changed(version: str, *, key: str, live: Live) -> None:
    """Rerun the fragment in which this stands as soon as the feed has another version of a name than the one that is shown."""
    _rerun(key=key, data={"live": live.of(version)}, on_changed_change=lambda: None)


def feed_script_route() -> Route:
    """Return the server's route to the browser's side of the feed, whose address names its content, so that browsers may keep it."""
    async def script(_request: Request) -> FileResponse:
        return FileResponse(SCRIPT, media_type="text/javascript", headers={"Cache-Control": "public, max-age=31536000, immutable"})

    return Route(asset_path(SCRIPT.name), script)


@cache
def _script_address() -> str:
    return f"{asset_path(SCRIPT.name)}?{hashlib.sha256(SCRIPT.read_bytes()).hexdigest()[:12]}"
