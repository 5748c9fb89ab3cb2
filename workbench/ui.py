"""The Streamlit script: page settings and navigation, nothing else. It runs again at every interaction."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # Streamlit puts only this folder on the path
    sys.path.insert(0, str(ROOT))

import streamlit as st  # noqa: E402

ASSETS = ROOT / "assets"
PAGES = [
    ("home", "Home", {"default": True}),
    ("new", "New experiment", {}),
    ("tune", "Fine-tune", {}),
    ("chain", "Chain", {}),
    ("runs", "Runs", {}),
    ("run", "Run", {"visibility": "hidden"}),  # reached from a run's name, as /run?run=...
    ("compare", "Compare", {}),
    ("device", "On device", {}),
    ("models", "Models", {}),
    ("ablation", "Ablation", {}),
    ("checks", "Paper checks", {}),
]

st.logo(ASSETS / "logo.svg", size="large")
page = st.navigation([st.Page(ROOT / "pages" / f"{name}.py", title=title, **options) for name, title, options in PAGES], position="top")
st.set_page_config(page_title=f"{page.title} · Stillhouse", page_icon=ASSETS / "mark.svg", layout="wide")
# Streamlit's own status, with a Stop of its own, means nothing here: pages refresh by themselves, and a run has its Stop.
st.html("<style>[data-testid=stStatusWidget] { display: none; }</style>")
page.run()
