"""A chain of anchors: its lineage, any size between them, what it cost; and the form that builds one.

Addresses: ``?chain=&size=``, and ``?teacher=`` or ``?from=`` for the form.
"""

import streamlit as st

from workbench.screens.chain import build_view, chain_view
from workbench.screens.shared import state, views
from workbench.store import chains

with views.errors_shown():
    place = None
    known = chains.places(state.store())
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title("Chain", anchor=False, width="content")
        st.space("stretch")
        with views.errors_shown():
            place = chain_view.pick(known)
    st.caption("A chain is a teacher and a few anchors of descending size, trained once. Models of any size between them can then be "
               "created in seconds, without training.")
    if build_view.linked():
        build_view.form(opened=True)
    if place is not None:
        with views.errors_shown():
            chain_view.show(place)
    elif not known:
        views.empty_state("No chain yet. Build one below: a few minutes for a small teacher, and any number of sizes afterwards.",
                          "link")
    chain_view.lesson()
    if not build_view.linked():
        build_view.form(opened=not known)
