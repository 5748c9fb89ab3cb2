"""The download button of a missing resource, with its progress."""

from __future__ import annotations

import streamlit as st

from workbench.screens.shared import fragments, state, views
from workbench.screens.shared.fetching import Fetch

POLL_SECONDS = 1.0


def fetch_button(name: str, label: str = "Fetch", *, width: int | None = None) -> None:
    """Draw the button; during the download its progress; after a failure the reason. Once all is here the page reruns.

    Args:
        name: as the verb `fetch` takes it.
        width: pixels of the progress bar (default: all there are).
    """
    fetches = _fetches()
    fetch = fetches.get(name)
    failure = None if fetch is None else fetch.error
    if fetch is not None and failure is None:
        fragments.fragment(_progress, run_every=POLL_SECONDS)(name, width)
        return
    if st.button(label, key=f"fetch.{name}", type="primary", icon=":material/download:"):
        fetches[name] = Fetch(name)
        st.rerun()
    if failure is not None:
        views.problem(failure)


@st.cache_resource(show_spinner=False)
def _fetches() -> dict[str, Fetch]:
    """Shared by all pages: two visitors who fetch the same thing see the same download."""
    return {}


def _progress(name: str, width: int | None) -> None:
    fetch = _fetches().get(name)  # None: another page saw it end
    if fetch is None or fetch.done:
        if fetch is not None and fetch.error is None:
            _fetches().pop(name, None)
        state.forget_models()
        st.rerun()
    st.progress(fetch.share, text="Converting …" if fetch.share >= 1 else f"Downloading, {fetch.share:.0%}", width=width or "stretch")
