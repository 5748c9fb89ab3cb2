"""The recipe button of a lesson, and the runs that it started, live."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import streamlit as st

from core.config import ExperimentConfig
from core.errors import StillhouseError
from core.metrics import METRICS
from workbench.lessons import experiments
from workbench.lessons.blocks import Recipe
from workbench.lessons.experiments import SINGLE, Measured
from workbench.lessons.parser import Lesson
from workbench.screens.learn.reader import LessonRun, Reader
from workbench.screens.shared import charts, fragments, results, state, views
from workbench.screens.shared.live_plotly import live_plotly
from workbench.store.records import Run

POLL_SECONDS = 1.0
COLUMNS = {"teacher": "Teacher", "student_after": "Student", "control": "Control"}


def recipe(block: Recipe, lesson: Lesson, reader: Reader, sliders: Mapping[str, float], key: str) -> None:
    """Draw the button, what it will run, and the runs."""
    with st.container(border=True, key=f"recipe-{key}"):
        try:
            configs = experiments.configs(lesson, block, sliders)
            found = reader.runs(lesson.slug, block.name, list(configs))
        except StillhouseError as error:
            views.problem(error)
            return
        waits = [name for name in block.after if reader.guess(lesson.slug, name) is None]
        live = any(run.lives for run in found.values())
        with st.container(horizontal=True, vertical_alignment="center"):
            clicked = st.button(block.label if not found else "Run it again", type="primary" if not found else "secondary",
                                icon=":material/play_arrow:", key=f"run.{key}", disabled=bool(waits) or live)
            if waits:
                st.caption("Commit your guess above first.")
            elif not found:
                st.caption(_what(configs))
        if clicked:
            with views.errors_shown():
                reader.start(lesson.slug, block.name, configs)
                st.rerun()
        if found:
            _live(block, lesson, reader, key)
        with st.expander("The recipe", icon=":material/menu_book:", key=f"yaml.{key}"):
            for label, config in configs.items():
                if label:
                    st.caption(views.plain(label))
                st.code(config.to_yaml(), language="yaml", height=220)


def measured(reader: Reader, lesson: Lesson, block: Recipe) -> dict[str, Measured]:
    """Return what the runs of a block came to so far: label -> subject -> metrics."""
    return {label: results.measurements(state.store(), each.run)
            for label, each in reader.runs(lesson.slug, block.name, experiments.labels(block)).items() if each.run is not None}


def _what(configs: Mapping[str, ExperimentConfig]) -> str:
    first = next(iter(configs.values()))
    steps = first.train.max_steps or 0
    count = f"{len(configs)} runs of {steps} steps each" if len(configs) > 1 else f"{steps} steps"
    return f"{count}{', each with a control' if getattr(first, 'control', False) else ''}."


def _live(block: Recipe, lesson: Lesson, reader: Reader, key: str) -> None:
    lives = any(each.lives for each in reader.runs(lesson.slug, block.name, experiments.labels(block)).values())
    fragments.fragment(_runs, run_every=POLL_SECONDS if lives else None)(block, lesson, reader, key, lives)


def _runs(block: Recipe, lesson: Lesson, reader: Reader, key: str, lived: bool) -> None:
    with views.errors_shown():
        views.queue_warning()
        found = reader.runs(lesson.slug, block.name, experiments.labels(block))
        if lived and not any(each.lives for each in found.values()):
            st.rerun()  # the questions have their outcome now
        curves = []
        for label, each in found.items():
            _line(label, each, reader, key)
            if each.run is not None:
                table = state.curves(each.run.id)
                curves.append(table.assign(run=label or each.run.name))
        if curves and any((table["name"] == "loss").any() for table in curves):
            live_plotly(charts.overlay(pd.concat(curves), "loss"), key=f"curves.{key}", label="Loss of each run over its steps")
        _table(block, found)


def _line(label: str, each: LessonRun, reader: Reader, key: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        if label:
            st.markdown(f"**{views.plain(label)}**", width="content")
        if each.run is None:
            st.caption(each.waiting)
            return
        views.status_badge(each.run)
        if each.waiting:
            st.caption(each.waiting)
        elif each.run.active:
            st.caption(results.progress_text(each.run, ()))
        elif each.run.message:
            st.caption(views.plain(each.run.message))
        if each.shared:
            st.caption("Computed once for everybody with this recipe.")
        if reader.may_open_runs:
            st.page_link(state.RUN, label="Open the run", query_params={"run": each.run.id}, icon=":material/show_chart:")


def _table(block: Recipe, found: Mapping[str, LessonRun]) -> None:
    rows = []
    for label, each in found.items():
        if each.run is None:
            continue
        known = results.measurements(state.store(), each.run)
        for name in block.measure:
            short = name.removeprefix("eval/")
            cells = [views.number(known.get(subject, {}).get(short), name) for subject in COLUMNS]
            if any(cell != "–" for cell in cells):
                rows.append([*([label] if label != SINGLE else []), views.label(name) if name in METRICS else name, *cells])
    if rows:
        head = [*([""] if SINGLE not in found else []), "Held-out", *COLUMNS.values()]
        views.text_table(head, rows, label="Outcome of the runs")


def latest_student(reader: Reader, lesson: Lesson, block: Recipe) -> Run | None:
    """Return the newest finished run of a block, whose student can answer."""
    found = [each.run for each in reader.runs(lesson.slug, block.name, experiments.labels(block)).values() if each.run is not None]
    return next((run for run in reversed(found) if run.status == "finished"), None)
