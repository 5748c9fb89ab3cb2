"""The pages and their sections in the menu; of a participant of a class, the few that they have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from core.system.paths import PROJECT
from workbench.screens.classroom import seats
from workbench.screens.shared import share

# Section -> name and title of its pages. Pages without a section stand before them; those of HIDDEN are reached by links alone. They have
# no icons: Streamlit would make one the browser's, and fetch it from another host.
MENU = {
    "": [("home", "Home")],
    "Learn": [("learn", "Lessons"), ("classroom", "Class")],
    "Train": [("new", "New experiment"), ("sweep", "Sweep"), ("tune", "Fine-tune"), ("chain", "Chain"), ("temperature", "Temperature"),
              ("ensemble", "Ensemble"), ("specialists", "Specialists"), ("reading", "Reading")],
    "Runs": [("runs", "All runs"), ("recipes", "Recipes over seeds")],
    "Compare": [("compare", "Side by side"), ("device", "On device"), ("deploy", "Deploy")],
    "Models": [("models", "Catalogue"), ("signals", "Teacher signals")],
    "Evidence": [("claims", "Claims"), ("ablation", "Ablation")],
}
HIDDEN = [
    ("board", "Board"),  # reached from Class
    ("run", "Run"),  # as /run?run=...
    ("checks", "Claims"),  # the address of release 0.1.0 leads to that of today
]

UNDER = {"board": "Learn", "run": "Runs", "checks": "Evidence"}  # pages of HIDDEN -> the section that one is in on them

# All that there is for participants of a class: the addresses stand in `workbench.classroom.gate` too.
SEAT = [("lesson", "Lesson"), ("board", "Board"), ("vote", "Vote"), ("ask", "Ask"), ("mine", "My results")]


def sections() -> dict[str, list[Any]]:
    """Return the pages by section, as `st.navigation` takes them. A page that is not among them cannot be opened, whoever requests it."""
    if seats.participant_id() is not None:
        return {"": [_page(name, title, default=name == SEAT[0][0]) for name, title in SEAT]}
    hidden = share.fixed().hidden  # by an instructor's link: the pages are there, and the menu does not show them
    found = {section: [_page(name, title, default=name == "home", shown=section not in hidden) for name, title in pages]
             for section, pages in MENU.items()}
    found[""] += [_page(name, title, shown=False) for name, title in HIDDEN]
    return found


def _page(name: str, title: str, *, default: bool = False, shown: bool = True) -> Any:
    return st.Page(PROJECT / "pages" / f"{name}.py", title=title, default=default, visibility="visible" if shown else "hidden")


def current_section(found: Mapping[str, Sequence[Any]], page: Any) -> int | None:
    """Return which item of the menu, counted from 1, is the section of a page; None for a page that is an item itself.

    Args:
        found: as `sections` returns it.
    """
    alone = sum(each.visibility == "visible" for each in found.get("", ()))
    shown = [section for section, pages in found.items() if section and any(each.visibility == "visible" for each in pages)]
    for place, section in enumerate(shown, start=1 + alone):
        if UNDER.get(page.url_path) == section or any(each.url_path == page.url_path for each in found[section]):
            return place
    return None
