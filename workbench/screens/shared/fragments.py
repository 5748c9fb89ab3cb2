"""Fragments, each in a container of its own, so that a page survives that one of them runs again while the server is busy.

What a script has sent of a fragment, and a browser has not received yet, Streamlit drops when that fragment begins to run again
(`ForwardMsgQueue.clear` of streamlit 1.67). The end of the script then takes the fragment's place off the page, what stands behind it
moves up, and the next element that is sent by its old place ends the whole page in the browser ("Bad delta path index"). On a server
with many sessions that happens within minutes. In a container of its own a fragment has the only place, and nothing moves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st


def fragment(function: Callable[..., None], *, run_every: float | None = None) -> Callable[..., None]:
    """Return what draws a function as a fragment, which reruns without the rest of the page.

    Args:
        run_every: seconds after which it reruns by itself; None for only when something in it is used.
    """
    def draw(*arguments: Any) -> None:
        with st.container():
            st.fragment(function, run_every=run_every)(*arguments)

    return draw
