"""The board of a class, live, for laptops and for a projector (``?projector=1``)."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from core.metrics import METRICS
from workbench import classroom, lessons
from workbench.classroom import handout
from workbench.classroom.board import QUALITIES, Tally, leaderboard, shared_board
from workbench.errors import ClassError
from workbench.screens.classroom import seats
from workbench.screens.shared import charts, fragments, state, views
from workbench.screens.shared.live_plotly import live_plotly
from workbench.screens.shared.theme import SERIES

POLL_SECONDS = 2.0
AXES = {"parameters": "Size", "temperature": "Temperature", "seconds": "Seconds"}
PROJECTOR = """<style>
[data-testid=stHeader], .st-key-site-search { display: none !important; }
.st-key-board { zoom: 1.5; } .st-key-board p, .st-key-board td { color: light-dark(#000, #fff); opacity: 1; }
</style>"""


def show() -> None:
    """Draw the board."""
    if classroom.current() is None:
        st.title("Board", anchor=False)
        views.empty_state("This app holds no class, and so no runs of one.", "bar_chart")
        st.page_link(state.CLASS, label="How to start a class", icon=":material/co_present:")
        return
    if st.query_params.get("projector"):
        st.html(PROJECTOR)
    with st.container(key="board"):
        st.title("Board", anchor=False)
        with st.container(horizontal=True):
            metric = st.selectbox("Quality", QUALITIES, format_func=views.label, key="board.metric", width=220, bind="query-params")
            axis = st.selectbox("Against", list(AXES), format_func=AXES.__getitem__, key="board.axis", width=180)
            parameters = st.number_input("Parameters at most", 0, None, None, step=100_000, key="board.parameters", placeholder="any",
                                         width=200)
            seconds = st.number_input("Seconds at most", 0.0, None, None, step=1.0, key="board.seconds", placeholder="any", width=160)
        fragments.fragment(_board, run_every=POLL_SECONDS)(metric, axis, parameters, seconds)


def _board(metric: str, axis: str, parameters: float | None, seconds: float | None) -> None:
    with views.errors_shown():
        room = classroom.current()
        if room is None:
            raise ClassError("This class is over.", "", "Its instructor deleted it, with everything in it.")
        if seats.participant_id() is not None:
            seats.seat()
        settings = room.settings()
        board = shared_board(room, state.store())
        st.caption(f"{views.plain(room.name)} · {len(board.people)} here · {sum(item.state == 'waiting' for item in board.items)} waiting"
                   f"{' · paused' if settings.paused else ''}")
        for tally in board.tallies(lessons.lesson(settings.lesson)):
            _tally(tally)
        points = board.points()
        if points.empty:
            views.empty_state("No finished run yet: runs appear here as points.", "scatter_plot")
            return
        if settings.names_hidden:
            points = points.assign(nickname=[f"run {number}" for number in range(1, len(points) + 1)])
        _points(points, metric, axis)
        _ranks(points, metric, parameters, seconds, hidden=settings.names_hidden)


def _tally(tally: Tally) -> None:
    with st.container(border=True, key=f"tally-{tally.question.name}"):
        st.markdown(f"**{views.no_images(tally.question.text)}** :gray[{tally.count} {'guess' if tally.count == 1 else 'guesses'}]")
        if not tally.count:
            return
        if tally.guesses:
            st.markdown(handout.bars(tally), unsafe_allow_html=True)
        else:
            live_plotly(numbers(tally), key=f"board.{tally.question.name}", label=f"Histogram of {tally.count} guesses")
        st.caption(views.plain(handout.outcome_words(tally)))


def numbers(tally: Tally) -> Any:
    """Return the histogram of guessed numbers, the measured ones as lines."""
    lines = [{"type": "line", "xref": "x", "yref": "paper", "x0": value, "x1": value, "y0": 0, "y1": 1,
              "line": {"color": SERIES[1], "width": 2}} for value in tally.values]
    trace = {"type": "histogram", "x": tally.numbers, "marker": {"color": SERIES[0]}, "nbinsx": 12}
    return charts.figure([trace], height=200, y_title="guesses", x_title=tally.question.unit, legend=False, shapes=lines)


def _points(points: pd.DataFrame, metric: str, axis: str) -> None:
    shown = points.dropna(subset=[metric, axis])
    if shown.empty:
        st.caption("No run has both numbers yet.")
        return
    traces = []
    for index, (label, table) in enumerate(shown.groupby("run", sort=False)):
        traces.append({"type": "scatter", "mode": "markers", "x": table[axis].to_numpy(dtype=float),
                       "y": table[metric].to_numpy(dtype=float), "name": str(label), "text": table["nickname"].tolist(),
                       "hovertemplate": "%{text}: %{y:.4g}",
                       "marker": {"size": 11, "color": SERIES[index % len(SERIES)]}})
    live_plotly(charts.figure(traces, height=340, y_title=charts.axis_label(metric), x_title=AXES[axis], legend=len(traces) > 1,
                              hovermode="closest"), key=f"board.points.{metric}.{axis}",
                label=f"{len(shown)} runs: {views.label(metric)} against {AXES[axis].lower()}; the table below has the best")


def _ranks(points: pd.DataFrame, metric: str, parameters: float | None, seconds: float | None, *, hidden: bool) -> None:
    ranked = leaderboard(points, metric, most_parameters=parameters, most_seconds=seconds)
    words = [f"at most {parameters:,.0f} parameters" if parameters else "", f"at most {seconds:g} s" if seconds else ""]
    budget = " and ".join(filter(None, words))
    st.subheader(f"Best {METRICS[metric].label}{f', {budget}' if budget else ''}", anchor=False)
    if ranked.empty:
        st.caption("No run is within this budget.")
        return
    rows = [[str(place), "" if hidden else str(row["nickname"]), str(row["run"]), f"{row[metric]:.4g}",
             "–" if pd.isna(row["parameters"]) else f"{row['parameters']:,.0f}",
             "–" if pd.isna(row["seconds"]) else f"{row['seconds']:.1f}"] for place, row in enumerate(ranked.to_dict("records"), 1)]
    views.text_table(["", "Nickname", "Run", views.label(metric), "Parameters", "Seconds"], rows, label="Leaderboard")
