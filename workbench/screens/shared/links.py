"""A widget and the page's address: a link sets the widget, the widget writes itself back.

With every move of a widget the browser sends the address that it had at that moment, which may be older than what was written
last. So a value sets a widget once in a session, however often the browser sends it; and again when the page is opened again, or
when the user goes back to it in the browser's history.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

SEEN = "links.seen"  # in the session state: widgets and what the address said of them, followed or written


def follow(key: str, parameter: str, default: Any, read: Callable[[str], Any] = str) -> None:
    """Give the widget `key` its value before it is drawn.

    Args:
        default: for a widget that has no link and was never shown in this session.
        read: the widget's value from what stands in the address; anything empty where that says nothing.
    """
    text = st.query_params.get(parameter, "")
    linked = read(text)
    if key not in st.session_state:
        st.session_state[key] = linked or st.session_state.get(_shown(key), default)
    elif linked and ((key, text) not in _seen() or _from_history()):
        st.session_state[key] = linked
    _seen().add((key, text))


def keep(key: str, parameter: str, value: Any, written: str | None = None) -> None:
    """Remember what the widget `key` shows, and write it into the address, as `written` where it is no text."""
    written = value if written is None else written
    st.session_state[_shown(key)] = value
    _seen().add((key, written))
    st.query_params[parameter] = written


def _from_history() -> bool:
    """Whether this run of the page comes from the browser's Back or Forward."""
    context = get_script_run_ctx()
    return context is not None and context.is_history_navigation


def _shown(key: str) -> str:
    return f"{key}.shown"


def _seen() -> set[tuple[str, str]]:
    return st.session_state.setdefault(SEEN, set())
