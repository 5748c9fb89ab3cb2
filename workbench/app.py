"""The server: Streamlit's pages, the chat pane, the assets and the job runner, behind one guard on one port.

`workbench.serve` runs it; `streamlit run workbench/app.py` and `uvicorn workbench.app:app` work too.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # under `streamlit run` only this folder is on the path
    sys.path.insert(0, str(ROOT))

import plotly  # noqa: E402
import streamlit as st  # noqa: E402
from starlette.requests import Request  # noqa: E402
from starlette.responses import FileResponse  # noqa: E402
from starlette.routing import Mount, Route  # noqa: E402

from workbench import gate, paths  # noqa: E402
from workbench.chat_mount import ChatMount  # noqa: E402
from workbench.mounts import asset_path, base_path, chat_path  # noqa: E402

PLOTLY_JS = Path(plotly.__file__).with_name("package_data") / "plotly.min.js"

chat = ChatMount()


async def plotly_js(_request: Request) -> FileResponse:
    """The copy of plotly.js that the plotly package carries; its address names the version, so it may be kept."""
    return FileResponse(PLOTLY_JS, headers={"Cache-Control": "public, max-age=31536000, immutable"})


@contextlib.asynccontextmanager
async def lifespan(_app: st.App):
    """Everything that runs beside the pages for as long as the server runs."""
    async with chat.running():
        yield {}


app = st.App(
    Path(__file__).with_name("ui.py"),
    lifespan=lifespan,
    routes=[Route(asset_path("plotly.min.js"), plotly_js), Mount(chat_path(), app=chat)],
    middleware=gate.guards(paths.home() / "gate.key", base_path()),
)
