"""What is compared: the pane and its models, kept in the page's address and, for each pane, in the session."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import streamlit as st

from core.catalog import check_task
from core.errors import CompatibilityError, ModelNotFound
from workbench.errors import RunNotFound
from workbench.screens.shared import panes, state, views
from workbench.screens.shared.panes import CHAT, PANES, Pane
from workbench.store import references

MAX_MODELS = 3
PANE, SHOWN = "compare.pane", "compare.shown"  # in the session state: the widget, and what was last drawn
OF_PANE = ("models", "text", "pair", "c")  # of the address, given up when another pane is chosen
WAIT_SECONDS = 4.0  # between two looks whether a model is there


def pane() -> Pane:
    """Where they are chosen, set by ``?pane=`` and written back to it; without one, by the kind of the models that are named."""
    models = _linked()
    linked = st.query_params.get("pane")
    if linked not in PANES:
        linked = (panes.of_models(models) or CHAT).key if models else st.session_state.get(SHOWN, CHAT.key)
    if linked != st.session_state.get(SHOWN) or PANE not in st.session_state:  # a link was followed, or the page opened anew
        st.session_state[PANE] = linked
    chosen = st.segmented_control("Pane", list(PANES), key=PANE, required=True, on_change=_switched, label_visibility="collapsed",
                                  format_func=lambda key: PANES[key].title)
    st.session_state[SHOWN] = st.query_params["pane"] = chosen
    return PANES[chosen]


def _switched() -> None:
    for name in OF_PANE:
        st.query_params.pop(name, None)
    st.query_params["pane"] = st.session_state[PANE]


def pick(chosen: Pane) -> list[str]:
    """The picker, set by ``?models=a,b`` and written back to it; without one, what this session compared last.

    Returns:
        The models that were picked and belong to the pane, as far as that is known; the others are told.
    """
    known = [entry for entry in state.models(tuple(references.PARTS)) if entry.present and entry.task == chosen.task]
    names = [entry.name for entry in known]
    default = names[:1]
    if chosen is not CHAT:  # a shipped model and the newest student; where either is missing, the first two
        shipped = [entry.name for entry in known if entry.kind == "house"]
        students = [entry.name for entry in known if entry.kind == "run" and ":" not in entry.name]
        default = list(dict.fromkeys([*shipped[:1], *students[:1], *names]))[:2]
    key = f"compare.models.{chosen.key}"
    follow(key, _linked(), default)
    picked = st.multiselect(
        "Models", list(dict.fromkeys([*names, *st.session_state[key]])), key=key, max_selections=MAX_MODELS,
        accept_new_options=True, placeholder="Pick two or three, or type a folder, a GGUF file or a hub id", select_all=False,
        help="The first one is the teacher: students are marked where they depart from it. `run` is the student of a run, "
             "`run:control` its control, `run:before` the student before training.")
    keep(key, "models", picked, ",".join(picked))
    return [name for name in picked if _fits(name, chosen)]


def follow(key: str, linked: Any, default: Any) -> None:
    """Set a widget to what the address says, where that is new; otherwise it shows what this session showed last, or the default."""
    shown = st.session_state.get(f"{key}.shown")
    value = linked or (default if shown is None else shown)
    if value != shown or key not in st.session_state:  # a link was followed, or the page opened anew
        st.session_state[key] = value


def keep(key: str, parameter: str, value: Any, written: str) -> None:
    """Remember what a widget shows, and write it into the address."""
    st.session_state[f"{key}.shown"] = value
    st.query_params[parameter] = written


def awaited(models: Sequence[str]) -> list[str]:
    """The models of runs that are yet to be trained; the page names them, and is drawn again when one is there."""
    missing = _missing(models)
    if missing:
        st.fragment(_until_there, run_every=WAIT_SECONDS)(tuple(missing))
    return missing


def open_link(chosen: Pane, models: Sequence[str]) -> None:
    """Go to a pane with these models, as a link would; for a button of this page."""
    for name in OF_PANE:
        st.query_params.pop(name, None)
    st.query_params.update(pane=chosen.key, models=",".join(models))


def _fits(name: str, chosen: Pane) -> bool:
    """Whether a model belongs to a pane, as far as that is known; of one that does not the page says so, and leads to its own."""
    entry = state.entry_of(name)
    if entry is None:
        return True
    try:
        check_task(entry, chosen.task)
    except CompatibilityError as error:
        views.problem(error)
        if own := panes.of_task(entry.task):
            st.button(f"{own.title} with {views.plain(references.short(name))}", icon=f":material/{own.icon}:", key=f"misfit.{name}",
                      on_click=open_link, args=(own, [name]))
        return False
    return True


def _until_there(missing: tuple[str, ...]) -> None:
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
