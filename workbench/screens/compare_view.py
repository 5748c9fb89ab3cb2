"""The models to compare, kept in the page's address, and the chat pane that asks them."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import urlencode

import streamlit as st

from core.errors import ModelNotFound
from workbench.errors import RunNotFound
from workbench.mounts import chat_path
from workbench.screens.shared import state, views
from workbench.store import references

MAX_MODELS = 3
PICKED, SHOWN, CHAT, THEME = "compare.models", "compare.shown", "compare.chat", "compare.theme"  # in the session state
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
WAIT_SECONDS = 4.0  # between two looks whether a model is there


def pick() -> list[str]:
    """The picker, set by ``?models=a,b`` and written back to it; without one, what this session compared last."""
    known = [entry.name for entry in state.models(tuple(references.PARTS)) if entry.present and entry.task == "causal"]
    shown = st.session_state.get(SHOWN)
    linked = _linked() or (known[:1] if shown is None else shown)
    if linked != shown or PICKED not in st.session_state:  # a link was followed, or the page opened anew
        st.session_state[PICKED] = linked
    picked = st.multiselect(
        "Models", list(dict.fromkeys([*known, *linked])), key=PICKED, max_selections=MAX_MODELS, accept_new_options=True,
        placeholder="Pick two or three, or type a folder, a GGUF file or a hub id", select_all=False,
        help="The first one is the teacher: students are marked where they depart from it. `run` is the student of a run, "
             "`run:control` its control, `run:before` the student before training.")
    st.session_state[SHOWN] = picked
    st.query_params["models"] = ",".join(picked)
    return picked


def pane(models: list[str]) -> None:
    """The chat with these models, in a frame of the page's theme; its conversation outlives a reload."""
    given = st.query_params.get("c", "")
    chat = given if re.fullmatch(r"[0-9a-f]{32}", given) else st.session_state.get(CHAT) or uuid.uuid4().hex
    st.session_state[CHAT] = st.query_params["c"] = chat
    # The theme that it begins with; the pane follows later changes by itself, and an answer under way goes on.
    theme = st.session_state.setdefault(THEME, st.context.theme.type or "light")
    _hints(models)
    address = urlencode({"models": ",".join(models), "c": chat, "__theme": theme})
    # A model that came into being is asked for anew.
    missing = len(_missing(models))
    address += f"&missing={missing}" if missing else ""
    # A frame of its own for each set of models: in one that only changes its address, the browser's Back would go back alone.
    with st.container(key=f"pane {address}"):
        st.html(LAYOUT)
        st.iframe(f"{chat_path()}/?{address}", height=PANE_HEIGHT, alt="Side-by-side chat")


def _hints(models: list[str]) -> None:
    if len(models) == 1:
        st.caption(":material/add: Add a second model above to see both answers side by side.")
    if missing := _missing(models):
        st.fragment(_until_there, run_every=WAIT_SECONDS)(tuple(missing))


def _until_there(missing: tuple[str, ...]) -> None:
    """Names the models of runs that are yet to be trained, and draws the page again when one is there."""
    now = tuple(_missing(missing))
    if now != missing:
        st.rerun()
    names = ", ".join(views.plain(name) for name in missing)
    st.caption(f":material/hourglass_top: Not trained yet: {names}. The pane asks for it when its run has come so far.")


def _missing(models: Sequence[str]) -> list[str]:
    """Those that belong to a living run and do not exist yet."""
    missing = []
    for name in models:
        try:
            references.resolve(name, state.store())
        except ModelNotFound:
            with suppress(RunNotFound):
                if state.lives(state.store().run(name.rpartition(":")[0] or name)):
                    missing.append(name)
    return missing


def _linked() -> list[str]:
    names = st.query_params.get("models", "").split(",")
    return list(dict.fromkeys(name.strip() for name in names if name.strip()))[:MAX_MODELS]
