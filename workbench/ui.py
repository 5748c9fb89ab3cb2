"""The Streamlit script: page settings and navigation, nothing else. It runs again at every interaction."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # Streamlit puts only this folder on the path
    sys.path.insert(0, str(ROOT))

import streamlit as st  # noqa: E402

from core.system.paths import ASSETS, PROJECT  # noqa: E402
from workbench.screens.classroom import seats  # noqa: E402
from workbench.screens.search_view import search_button  # noqa: E402
from workbench.screens.shared import share  # noqa: E402

# Section -> name and title of its pages. Pages without a section stand before them; those of HIDDEN are reached by links alone. They have
# no icons: Streamlit would make one the browser's, and fetch it from another host.
MENU = {
    "": [("home", "Home")],
    "Learn": [("learn", "Lessons"), ("classroom", "Class")],
    "Train": [("new", "New experiment"), ("tune", "Fine-tune"), ("chain", "Chain"), ("temperature", "Temperature")],
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

# All that there is for participants of a class: the addresses stand in `workbench.classroom.gate` too.
SEAT = [("lesson", "Lesson"), ("board", "Board"), ("vote", "Vote"), ("ask", "Ask"), ("mine", "My results")]

ACCENT_AS_TEXT = "button[role=radio][aria-checked=true], [data-testid=stTab][aria-selected=true], [data-testid=stSliderThumbValue]"

st.logo(ASSETS / "logo.svg", size="large")


def own_page(name: str, title: str, *, default: bool = False, shown: bool = True) -> Any:
    """Return a page of the folder pages/."""
    return st.Page(PROJECT / "pages" / f"{name}.py", title=title, default=default, visibility="visible" if shown else "hidden")


if seats.participant_id() is not None:
    sections = {"": [own_page(name, title, default=name == "lesson") for name, title in SEAT]}
else:
    hidden = share.fixed().hidden  # by an instructor's link: the pages are there, and the menu does not show them
    sections = {section: [own_page(name, title, default=name == "home", shown=section not in hidden) for name, title in pages]
                for section, pages in MENU.items()}
    sections[""] += [own_page(name, title, shown=False) for name, title in HIDDEN]
page = st.navigation(sections, position="top")
st.set_page_config(page_title=f"{page.title} · Stillhouse", page_icon=ASSETS / "mark.svg", layout="wide")
st.html(ROOT / "workbench" / "screens" / "shared" / "pages.css")
if seats.participant_id() is None:
    search_button([page for pages in sections.values() for page in pages if page.visibility == "visible"])
if st.context.theme.type == "dark":  # the accent carries white labels there, and is too dark to be text itself
    st.html(f"<style>:is({ACCENT_AS_TEXT}) p {{ color: {st.get_option('theme.dark.linkColor')}; }}</style>")
page.run()
