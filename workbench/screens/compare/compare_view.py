"""The Compare page: the pane that was chosen, with the models that were picked for it."""

from __future__ import annotations

import streamlit as st

from workbench.screens.compare import blank_pane, chat_pane, class_pane, picking
from workbench.screens.shared import views
from workbench.screens.shared.panes import BLANKS, CHAT, CLASSES

SHOW = {CHAT.key: chat_pane.show, BLANKS.key: blank_pane.show, CLASSES.key: class_pane.show}


def show() -> None:
    """Draw the whole page."""
    with views.errors_shown():
        with st.container(horizontal=True, vertical_alignment="center"):
            st.title("Compare", anchor=False, width="content")
            st.space("stretch")
            pane = picking.pane()
        SHOW[pane.key](picking.pick(pane))
