"""The page of lessons: their list, and one of them with its live blocks."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from core.errors import StillhouseError
from core.studies.claims import registry
from workbench import lessons
from workbench.lessons import experiments, guesses
from workbench.lessons.blocks import Claim, Compare, Figure, Placed, Question, Recipe, Slider, Steps, Text
from workbench.lessons.parser import Lesson
from workbench.screens import claims_view
from workbench.screens.learn import answers, figures, questions, runs, steps
from workbench.screens.learn.reader import Alone, Reader
from workbench.screens.shared import share, state, views

CARDS = 2  # side by side


def show() -> None:
    """Draw the lesson that the address names, or the list of all."""
    with views.errors_shown():
        share.follow()
    slug = st.query_params.get("lesson")
    if slug:
        try:
            found = lessons.lesson(slug)
        except StillhouseError as error:
            views.problem(error)
        else:
            lesson_page(found, Alone())
            return
    listing()


def listing() -> None:
    """Draw a card for each lesson, and what is wrong with those that cannot be read."""
    st.title("Lessons", anchor=False)
    st.markdown("Short texts with live figures and experiments of seconds. Each has you guess before it shows, and says where an effect is "
                "noise.")
    found, problems = lessons.listed()
    for row in (found[start:start + CARDS] for start in range(0, len(found), CARDS)):
        for column, lesson in zip(st.columns(CARDS), row, strict=False):
            with column, st.container(border=True, height="stretch"):
                st.page_link(state.LEARN, label=f"**{views.plain(lesson.title)}**", query_params={"lesson": lesson.slug})
                st.markdown(views.no_images(lesson.head.summary))
                st.caption(f"{lesson.head.minutes} minutes")
    for error in problems:
        views.problem(error)
    with st.expander("Write a lesson of your own", icon=":material/edit:"):
        st.markdown("A lesson is a Markdown file with a few live blocks; no Python is needed. `docs/lessons.md` describes them. Put yours "
                    "into a folder and name it in `STILLHOUSE_LESSONS`: it is listed here at the next reload, and errors name their line.")


def lesson_page(lesson: Lesson, reader: Reader) -> None:
    """Draw a lesson."""
    reader.opened(lesson.slug)
    with st.container(key="lesson"):
        st.title(lesson.title, anchor=False)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"{lesson.head.minutes} minutes")
            if reader.may_start_over:
                _start_over(lesson)
        parts(lesson, reader)
        if reader.may_open_runs:
            _neighbours(lesson)


def parts(lesson: Lesson, reader: Reader) -> None:
    """Draw the texts and live blocks of a lesson, in their order."""
    sliders: dict[str, float] = {}
    recipes: Mapping[str, Recipe] = {block.name: block for block in lesson.of(Recipe)}
    for index, part in enumerate(lesson.parts):
        if isinstance(part, Text):
            st.markdown(views.no_images(part.markdown))
            continue
        with views.errors_shown():
            _block(part, lesson, reader, sliders, recipes, f"{lesson.slug}.{index}")


def _block(part: Placed, lesson: Lesson, reader: Reader, sliders: dict[str, float], recipes: Mapping[str, Recipe], key: str) -> None:
    block = part.block
    if isinstance(block, Slider):
        sliders[block.name] = _slider(block, lesson, reader, key)
    elif isinstance(block, Figure):
        figures.figure(block, sliders, key)
    elif isinstance(block, Question):
        outcome = block.outcome
        measured = runs.measured(reader, lesson, recipes[outcome.recipe]) if outcome is not None else {}
        questions.question(block, lesson.slug, reader, measured, key)
    elif isinstance(block, Recipe):
        runs.recipe(block, lesson, reader, sliders, key)
    elif isinstance(block, Steps):
        steps.steps(block, lesson, recipes[block.recipe], sliders, key)
    elif isinstance(block, Compare):
        answers.compare(block, lesson, reader, key)
    elif isinstance(block, Claim):
        claims_view.summary(registry.find(block.name))


def _slider(block: Slider, lesson: Lesson, reader: Reader, key: str) -> float:
    """Draw a slider, one that an instructor has fixed where the lesson has it; return where it stands."""
    fixed = any(path in reader.locked() for path in experiments.moved_by(lesson, block.name))
    found = st.slider(block.label, float(block.min), float(block.max), float(block.value), float(block.step), format="%g", disabled=fixed,
                      key=f"slider.{key}{'.fixed' if fixed else ''}", help="Fixed by the instructor." if fixed else None)
    return float(block.value) if fixed else float(found)


def _start_over(lesson: Lesson) -> None:
    kept = f"before.{lesson.slug}"
    if st.button("Start over", icon=":material/restart_alt:", type="tertiary", key="start over",
                 help="Forgets your guesses and runs in this lesson; the runs stay on the page of runs."):
        st.session_state[kept] = guesses.start_over(lesson.slug)
        st.rerun()
    if kept in st.session_state and st.button("Undo", icon=":material/undo:", type="tertiary", key="undo start over"):
        guesses.put_back(lesson.slug, st.session_state.pop(kept))
        st.rerun()


def _neighbours(lesson: Lesson) -> None:
    found = lessons.listed()[0]
    place = next((index for index, each in enumerate(found) if each.slug == lesson.slug), None)
    with st.container(horizontal=True):
        st.page_link(state.LEARN, label="All lessons", icon=":material/menu_book:")
        if place is not None and place + 1 < len(found):
            st.page_link(state.LEARN, label=f"Next: {views.plain(found[place + 1].title)}", icon=":material/arrow_forward:",
                         query_params={"lesson": found[place + 1].slug})
