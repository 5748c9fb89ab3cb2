"""The chat: models answer the same question side by side, in a frame of the page."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import streamlit as st

from workbench.mounts import chat_path
from workbench.screens.compare import picking
from workbench.screens.shared import panes, views

THEME = "compare.theme"  # in the session state
PANE_HEIGHT = 820  # pixels, where the style sheet below does not count
# The frame ends where the window ends, so that the question is in sight without scrolling; on a phone its columns stand below
# one another and it is as high as they are.
LAYOUT = """<style>
@media (min-width: 641px) {
  [data-testid=stMainBlockContainer]:has(iframe[title="Side-by-side chat"]) { padding-bottom: 0; padding-top: 4.25rem; }
  iframe[title="Side-by-side chat"] { height: max(24rem, calc(100vh - 15.25rem)) !important; }
  div:has(> iframe[title="Side-by-side chat"]), div:has(> div > iframe[title="Side-by-side chat"]) {
    height: auto !important; flex: 0 0 auto; }
}
iframe[title="Side-by-side chat"] { color-scheme: normal; }
</style>"""


def show(models: list[str]) -> None:
    """Draw the chat with these models, in a frame of the page's theme; its conversation outlives a reload."""
    if not models:
        views.empty_state("Select two or three models: a house model, students and controls of runs, any folder or hub id.", "forum")
        return
    given = st.query_params.get("c", "")
    if re.fullmatch(r"[0-9a-f]{32}", given):
        st.session_state[panes.CHAT_ID] = given
    chat = st.query_params["c"] = panes.chat_id()
    # The initial theme; the pane follows later changes by itself, without interrupting an answer.
    theme = st.session_state.setdefault(THEME, st.context.theme.type or "light")
    if len(models) == 1:
        st.caption(":material/add: Add a second model above to see both answers side by side.")
    missing = picking.awaited(models)
    address = urlencode({"models": ",".join(models), "c": chat, "__theme": theme})
    # A model that was trained meanwhile is requested again.
    address += f"&missing={len(missing)}" if missing else ""
    # A frame of its own for each set of models: in one that only changes its address, the browser's Back would go back alone.
    with st.container(key=f"pane {address}"):
        st.html(LAYOUT)
        st.iframe(f"{chat_path()}/?{address}", height=PANE_HEIGHT, alt="Side-by-side chat")
