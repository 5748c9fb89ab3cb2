"""A widget and the page's address: a link sets the widget, the widget writes itself back.

With every move of a widget the browser sends the address that it had at that moment, which may be older than what was written
last. So a value sets a widget once in a session, however often the browser sends it; and again when the page is opened anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

SEEN = "links.seen"  # in the session state: parameters and their values, followed or written


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
    elif linked and (parameter, text) not in _seen():
        st.session_state[key] = linked
    _seen().add((parameter, text))


def keep(key: str, parameter: str, value: Any, written: str | None = None) -> None:
    """Remember what the widget `key` shows, and write it into the address, as `written` where it is no text."""
    written = value if written is None else written
    st.session_state[_shown(key)] = value
    _seen().add((parameter, written))
    st.query_params[parameter] = written


def _shown(key: str) -> str:
    return f"{key}.shown"


def _seen() -> set[tuple[str, str]]:
    return st.session_state.setdefault(SEEN, set())
