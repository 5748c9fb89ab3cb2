"""The models to compare, kept in the page's address, and the chat pane that asks them."""

from __future__ import annotations

import re
import uuid
from urllib.parse import urlencode

import streamlit as st

from workbench.mounts import chat_path
from workbench.screens.shared import state
from workbench.store import references

MAX_MODELS = 3
PICKED, SHOWN, CHAT, THEME = "compare.models", "compare.shown", "compare.chat", "compare.theme"  # in the session state
PANE_HEIGHT = 820  # pixels


def pick() -> list[str]:
    """The picker, set by ``?models=a,b`` and written back to it; without one, what this session compared last."""
    known = [entry.name for entry in state.models(tuple(references.PARTS)) if entry.present]
    shown = st.session_state.get(SHOWN)
    linked = _linked() or (known[:1] if shown is None else shown)
    if linked != shown or PICKED not in st.session_state:  # a link was followed, or the page opened anew
        st.session_state[PICKED] = linked
    picked = st.multiselect(
        "Models", list(dict.fromkeys([*known, *linked])), key=PICKED, max_selections=MAX_MODELS, accept_new_options=True,
        placeholder="Pick two or three, or type a folder, a GGUF file or a hub id",
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
    address = urlencode({"models": ",".join(models), "c": chat, "__theme": theme})
    # A frame of its own for each set of models: in one that only changes its address, the browser's Back would go back alone.
    with st.container(key=f"pane {address}"):
        st.iframe(f"{chat_path()}/?{address}", height=PANE_HEIGHT, alt="Side-by-side chat")


def _linked() -> list[str]:
    names = st.query_params.get("models", "").split(",")
    return list(dict.fromkeys(name.strip() for name in names if name.strip()))[:MAX_MODELS]
