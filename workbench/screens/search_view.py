"""Search over pages, lessons, runs and models, from any page: a button in the header, or Ctrl+K."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import streamlit as st

from core.errors import StillhouseError
from workbench import lessons
from workbench.screens.shared import panes, state, views

MOST_RUNS = 500  # the newest; older ones are found on the page of runs


@dataclass(frozen=True, slots=True)
class Hit:
    """Something that can be opened.

    Attributes:
        label: what is searched and shown.
        go: opens it.
    """

    label: str
    go: Callable[[], None]


def search_button(pages: Sequence[Any]) -> None:
    """Draw the button that opens the search; `pages` are those of the menu (`st.Page`)."""
    with st.container(key="site-search"):
        if st.button("Search", icon=":material/search:", type="tertiary", key="open search", shortcut="Ctrl+K",
                     help="Pages, lessons, runs and models"):
            _dialog(pages)


@st.dialog("Search", width="medium")
def _dialog(pages: Sequence[Any]) -> None:
    with views.errors_shown():
        found = hits(pages)
        chosen = st.selectbox("Pages, lessons, runs and models", found, index=None, placeholder="Type a part of a name",
                              format_func=lambda hit: hit.label, key="search.chosen")
        if chosen is not None:
            del st.session_state["search.chosen"]
            chosen.go()


def hits(pages: Sequence[Any]) -> list[Hit]:
    """Return everything that can be found: pages first, then lessons, runs from the newest on, and models."""
    found = [Hit(f"Page · {page.title}", partial(st.switch_page, page)) for page in pages]
    found += [Hit(f"Lesson · {lesson.title}", partial(st.switch_page, state.LEARN, query_params={"lesson": lesson.slug}))
              for lesson in lessons.listed()[0]]
    try:
        found += [Hit(f"Run · {run.name} ({run.status})", partial(st.switch_page, state.RUN, query_params={"run": run.id}))
                  for run in state.store().runs(limit=MOST_RUNS)]
        found += [Hit(f"Model · {entry.name}", partial(_open_model, entry.name)) for entry in state.models()]
    except StillhouseError as error:
        views.problem(error)
    return found


def _open_model(name: str) -> None:
    """Open a model where it can be tried; one that no pane answers for, or that is not here yet, on the page of models."""
    entry = state.entry_of(name)
    pane = panes.of_task(entry.task) if entry is not None and entry.present else None
    if pane is None:
        st.switch_page(state.MODELS, query_params={"house": "1"})
    panes.open_with([name], pane)
