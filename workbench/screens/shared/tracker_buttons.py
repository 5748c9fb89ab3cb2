"""Buttons that open the local tensorboard or trackio of runs, where it is installed and they report to it."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from workbench.processes import log_tail
from workbench.runs import tracker_servers
from workbench.runs.tracker_servers import TITLES, TrackerServer
from workbench.screens.shared import fragments, state, views
from workbench.store.records import Run

POLL_SECONDS = 1.0


def tracker_buttons(runs: Sequence[Run], key: str) -> None:
    """Draw a button for each tracker; nothing where none of the runs reports to one that is installed.

    Args:
        key: tells the buttons of several pages apart.
    """
    for tracker, reporting in tracker_servers.trackers_of(runs).items():
        server = tracker_servers.opened(tracker, reporting)
        if server is not None:
            _opened(server, f"{key}.{tracker}")
        elif st.button(f"Open {TITLES[tracker]}", icon=":material/monitoring:", key=f"open.{key}.{tracker}", width="stretch",
                       help="Starts it on the machine that serves this page, for that machine alone. It ends with the app."):
            tracker_servers.open_server(tracker, reporting)
            st.rerun()


def _opened(server: TrackerServer, key: str) -> None:
    title, address = TITLES[server.tracker], server.address
    if server.ended:
        st.error(f"**{title} has ended.** The end of its log:", icon=":material/error:")
        st.code(log_tail(server.log) or "(nothing)", language=None, height=160)
    elif address is None:
        fragments.fragment(_wait, run_every=POLL_SECONDS)(server, title)
    elif state.visitor_is_here():
        st.link_button(f"{title} at {address}", address, icon=":material/open_in_new:", width="stretch")
    else:
        st.caption(f"{title} answers at {views.plain(address)} on the machine that serves this page, and nowhere else.")
    if st.button(f"Close {title}", icon=":material/close:", key=f"close.{key}", width="stretch"):
        tracker_servers.close(server)
        st.rerun()


def _wait(server: TrackerServer, title: str) -> None:
    if server.ended or server.address is not None:
        st.rerun()
    st.caption(f":material/hourglass_top: {title} starts …")
