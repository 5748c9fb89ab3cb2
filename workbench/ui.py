"""The Streamlit script: page settings and navigation, nothing else. It runs again at every interaction."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # Streamlit puts only this folder on the path
    sys.path.insert(0, str(ROOT))

import streamlit as st  # noqa: E402

from core.system.paths import ASSETS  # noqa: E402
from workbench.screens import menu  # noqa: E402
from workbench.screens.classroom import seats  # noqa: E402
from workbench.screens.search_view import search_button  # noqa: E402

st.logo(ASSETS / "logo.svg", size="large")

sections = menu.sections()
page = st.navigation(sections, position="top")
st.set_page_config(page_title=f"{page.title} · Stillhouse", page_icon=ASSETS / "mark.svg", layout="wide")
st.html(ROOT / "workbench" / "screens" / "shared" / "pages.css")
if (place := menu.current_section(sections, page)) is not None:  # Streamlit marks the page in its section's list alone
    item = f"[data-testid=stTopNav] > .rc-overflow-item:nth-child({place}) > [data-testid=stTopNavSection]"
    st.html(f"<style>{item} {{ background: light-dark(#e6ecee, #222b2e); }} {item} p {{ font-weight: 700; }}</style>")
if seats.participant_id() is None:
    search_button([page for pages in sections.values() for page in pages if page.visibility == "visible"])
page.run()
