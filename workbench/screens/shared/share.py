"""Sharing an experiment: link and QR code, YAML, command, Python script and notebook; and an instructor's link."""

from __future__ import annotations

from urllib.parse import urlencode

import streamlit as st

from core.config import ExperimentConfig
from core.errors import StillhouseError
from workbench.mounts import base_path
from workbench.screens.shared import portable, state, views
from workbench.screens.shared.downloads import download
from workbench.sharing import packed, qr, restrictions, scripts
from workbench.sharing.restrictions import Restrictions

RESTRICTED = "restrictions"  # in the session state: what a followed link fixes, and what it held


def share(config: ExperimentConfig, command: str, key: str) -> None:
    """Draw the ways to take an experiment along.

    Args:
        command: the line that repeats it in a terminal.
    """
    name = config.name or "experiment"
    st.caption("In a terminal")
    st.code(command, language="bash", wrap_lines=True)
    _link(config, key)
    st.caption("Without the app: a Python script, or a notebook for Jupyter, that run the same from the project's folder")
    with st.container(horizontal=True):
        download("Download script", lambda: scripts.script(config), file_name=f"{name}.py", mime="text/x-python",
                 key=f"share.script.{key}")
        download("Download notebook", lambda: scripts.notebook(config), file_name=f"{name}.ipynb", mime="application/json",
                 key=f"share.notebook.{key}")
    text = portable.recipe(config.to_yaml())
    st.caption("Full configuration")
    st.code(text, language="yaml", height=320)
    st.download_button("Download YAML", text, file_name=f"{name}.yaml", mime="application/yaml", icon=":material/download:",
                       on_click="ignore", key=f"share.yaml.{key}")


def _link(config: ExperimentConfig, key: str) -> None:
    try:
        query = packed.to_query(config)
    except StillhouseError as error:
        st.caption(views.plain(str(error)))
        return
    st.caption("A link that opens exactly these settings; a checksum in it says if it was cut or changed")
    fixed = Restrictions()
    if st.toggle("For a class: fix or hide something", key=f"share.fix.{key}"):
        fixed = _restrictions(config, key)
    link_and_code(f"/new?{urlencode(query | fixed.to_query())}", "QR code of the link to this experiment")


def link_and_code(path: str, label: str) -> None:
    """Draw a link to a page of this app, and its QR code."""
    address = f"{state.origin()}{base_path()}{path}"
    st.code(address, language=None, wrap_lines=True)
    try:
        with st.expander("QR code", icon=":material/qr_code_2:"):
            st.markdown(qr.svg(address, label=label, scale=4), unsafe_allow_html=True)
    except StillhouseError as error:
        st.caption(views.plain(str(error)))


def _restrictions(config: ExperimentConfig, key: str) -> Restrictions:
    names = [name for name, path in packed.MAIN.items() if not (path.startswith("teacher.") and getattr(config, "teacher", None) is None)]
    locked = st.multiselect("Shown, not movable", names, key=f"share.lock.{key}", format_func=lambda name: f"{name} ({packed.MAIN[name]})")
    hidden = st.multiselect("Hidden", restrictions.HIDEABLE, key=f"share.hide.{key}")
    steps, layers = st.columns(2)
    most_steps = steps.number_input("Steps at most", 1, 10**6, None, key=f"share.steps.{key}", placeholder="no limit")
    most_layers = layers.number_input("Student blocks at most", 1, 1000, None, key=f"share.layers.{key}", placeholder="no limit")
    st.caption("Starting a run checks them again. They hold for the browser session that follows the link; a class "
               "(`python -m workbench classroom`) holds everybody in it to the same.")
    return Restrictions(tuple(locked), tuple(hidden), most_steps, most_layers)


def follow() -> None:
    """Take over what the page's address fixes, for this session. Raises LinkError."""
    found = restrictions.from_query(st.query_params.to_dict())
    if found:
        linked = packed.from_query(st.query_params.to_dict()) if packed.is_link(st.query_params.to_dict()) else None
        st.session_state[RESTRICTED] = (found, linked)


def fixed() -> Restrictions:
    """Return what a link that this session followed fixes."""
    found: tuple[Restrictions, ExperimentConfig | None] = st.session_state.get(RESTRICTED, (Restrictions(), None))
    return found[0]


def require_allowed(config: ExperimentConfig) -> None:
    """Raise LinkError if a link that this session followed does not allow a run."""
    found, linked = st.session_state.get(RESTRICTED, (Restrictions(), None))
    restrictions.check(config, found, linked)
