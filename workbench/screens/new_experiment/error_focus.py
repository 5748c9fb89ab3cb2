"""The way to what is wrong in the form: new messages are scrolled to and their fields focused; those of other tabs have a button."""

from __future__ import annotations

import re
from pathlib import Path

import streamlit as st

from workbench.screens.new_experiment import controls, experiment_form, forms
from workbench.screens.new_experiment.advanced_form import TABS
from workbench.screens.new_experiment.experiment_form import Errors
from workbench.screens.shared import views

WANTED, KNOWN, REQUESTS = "field to show", "errors before", "requests to show a field"  # in the session state

_mount = st.components.v2.component(
    "stillhouse_error_focus", html="<span></span>", js=Path(__file__).with_suffix(".js").read_text(encoding="utf-8"))


def summary(errors: Errors) -> None:
    """Say what keeps the experiment from starting: the names of fields that are shown, and the messages of those that are not."""
    shown = [path for path in errors if path in st.session_state.get(controls.SHOWN_ERRORS, ()) and path != "name"]
    for path, message in errors.items():
        if path not in shown and path != "name":
            label = f"**{_called(path)}**: " if path else ""
            with st.container(horizontal=True, vertical_alignment="center"):
                st.caption(f":red[:material/error: {label}{views.no_images(message)}]", width="content")
                if tab_of(path) is not None:
                    st.button("Show field", key=f"show {path}", type="tertiary", icon=":material/arrow_upward:", on_click=_open,
                              args=(path,))
    if shown:
        st.caption(f":material/arrow_upward: Fix before starting: {', '.join(dict.fromkeys(map(_called, shown)))}.")


def focus(errors: Errors) -> None:
    """Scroll to the field that was requested or, where something new is wrong, to the first field of that; once each."""
    shown = st.session_state.get(controls.SHOWN_ERRORS, set())
    known, st.session_state[KNOWN] = st.session_state.get(KNOWN, {}), dict(errors)
    new = [path for path, message in errors.items() if path in shown and path not in known and message != forms.NO_DATA]
    wanted = st.session_state.pop(WANTED, None)
    target = wanted if wanted in shown else next(iter(new), None)
    if target is not None:
        st.session_state[REQUESTS] = (target, st.session_state.get(REQUESTS, ("", 0))[1] + 1)
    path, request = st.session_state.get(REQUESTS, ("", 0))
    _mount(key="error focus", height="content", width="content", data={"target": css_class(path), "request": request})


def tab_of(path: str) -> str | None:
    """Return the tab of the advanced form that has a field."""
    if path == forms.MAP_LIST:
        path = "student.layer_map"
    if path in ("teacher.model", "student.from_scratch"):
        return "Models"
    if path == "data.source":
        return "Data"
    return next((tab for tab, groups in TABS.items() if any(path in paths for paths in groups.values())), None)


def css_class(path: str) -> str:
    """Return what follows ``st-key-`` in the class of a message's container."""
    return re.sub(r"[^a-zA-Z0-9_-]", "-", controls.error_key(path)) if path else ""


def _open(path: str) -> None:
    st.session_state["form"], st.session_state["advanced tab"] = experiment_form.ADVANCED, tab_of(path)
    st.session_state[WANTED] = path


def _called(path: str) -> str:
    """Return how the form calls a field or a section."""
    path = "student.layer_map" if path == forms.MAP_LIST else path
    return controls.CONTROLS[path].label if path in controls.CONTROLS else path.split(".")[0].capitalize()
