"""The Streamlit script: page settings and navigation, nothing else. It runs again at every interaction."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # Streamlit puts only this folder on the path
    sys.path.insert(0, str(ROOT))

import streamlit as st  # noqa: E402

from core.system.paths import ASSETS, PROJECT  # noqa: E402

PAGES = [  # name, title, whether the menu shows it
    ("home", "Home", True),
    ("new", "New experiment", True),
    ("tune", "Fine-tune", True),
    ("chain", "Chain", True),
    ("runs", "Runs", True),
    ("run", "Run", False),  # reached from a run's name, as /run?run=...
    ("recipes", "Recipes", False),  # reached from Runs
    ("compare", "Compare", True),
    ("deploy", "Deploy", False),  # reached from On device and Models
    ("device", "On device", True),
    ("models", "Models", True),
    ("signals", "Teacher signals", False),  # reached from Models
    ("ablation", "Ablation", True),
    ("claims", "Claims", True),
    ("checks", "Claims", False),  # the address of release 0.1.0 leads to that of today
]

ACCENT_AS_TEXT = "button[role=radio][aria-checked=true], [data-testid=stTab][aria-selected=true], [data-testid=stSliderThumbValue]"

st.logo(ASSETS / "logo.svg", size="large")
page = st.navigation([st.Page(PROJECT / "pages" / f"{name}.py", title=title, default=name == "home",
                              visibility="visible" if shown else "hidden") for name, title, shown in PAGES], position="top")
st.set_page_config(page_title=f"{page.title} · Stillhouse", page_icon=ASSETS / "mark.svg", layout="wide")
st.html(ROOT / "workbench" / "screens" / "shared" / "pages.css")
if st.context.theme.type == "dark":  # the accent carries white labels there, and is too dark to be text itself
    st.html(f"<style>:is({ACCENT_AS_TEXT}) p {{ color: {st.get_option('theme.dark.linkColor')}; }}</style>")
page.run()
