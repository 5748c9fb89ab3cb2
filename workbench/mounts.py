"""Where the server's own routes lie. Streamlit puts `server.baseUrlPath` before its routes only, so ours add it here."""

from __future__ import annotations

import streamlit as st


def base_path() -> str:
    """Return the configured prefix of every address, empty or starting with a slash."""
    base = str(st.get_option("server.baseUrlPath") or "").strip("/")
    return f"/{base}" if base else ""


def chat_path() -> str:
    """Where the chat pane is mounted. In links add a slash: without it Streamlit's own page answers."""
    return f"{base_path()}/chat"


def on_device_path() -> str:
    """Where the pane that runs an exported model in the browser is mounted, and what it loads; in links add a slash."""
    return f"{base_path()}/on-device"


def live_path() -> str:
    """Where pages hear of a run's changes, by websocket: `/live?run=ID`."""
    return f"{base_path()}/live"


def download_path() -> str:
    """Where a model is downloaded as one file: `/download/model.zip?model=NAME&form=folder`."""
    return f"{base_path()}/download/model.zip"


def asset_path(name: str) -> str:
    """Address of a file that pages load from this server: `plotly.min.js`."""
    return f"{base_path()}/assets/{name}"


def handout_path(name: str) -> str:
    """Where the results of a class are downloaded: `/handout/class.html`."""
    return f"{base_path()}/handout/{name}"


def offer_path(token: str, name: str) -> str:
    """Where a file that a page offers is made and downloaded: `/offer/TOKEN/runs.csv`."""
    return f"{base_path()}/offer/{token}/{name}"
