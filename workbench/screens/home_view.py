"""The first page: where one left off, and three ways in."""

from __future__ import annotations

import streamlit as st

from workbench import lessons, settings
from workbench.lessons import guesses
from workbench.mounts import base_path
from workbench.runs import jobs
from workbench.screens.new_experiment import forms, kinds, plan_view, starting_points
from workbench.screens.new_experiment.layer_picture import layer_picture
from workbench.screens.shared import fragments, results, state, views
from workbench.store.records import Run

RECENT = 5
POLL_SECONDS = 3.0
CURVE_POINTS, MOST_STEPS = 120, 100_000
SHOWN = {"eval/masked_accuracy": "masked accuracy", "eval/perplexity": "perplexity", "eval/kl_to_teacher": "KL",
         "eval/agreement": "agreement", "eval/accuracy": "accuracy", "eval/answer_f1": "answer F1"}


def ways() -> None:
    """Draw three ways in: see it, learn it, do it."""
    see, learn, do = st.columns(3, gap="medium")
    with see, st.container(border=True, height="stretch", key="see"):
        st.markdown("**See it** :gray[· a few minutes]")
        st.markdown("Distil the house model into half its depth with live curves, then ask teacher and student the same question.")
        if st.button("Run the quickstart", type="primary", icon=":material/play_arrow:", key="quickstart"):
            start = starting_points.from_recipe(starting_points.FIRST)
            run = jobs.submit(start.config, state.store(), forms.command(start.config, start.config, start.recipe))
            st.switch_page(state.RUN, query_params={"run": run.id})
    with learn, st.container(border=True, height="stretch", key="learn"):
        st.markdown("**Learn it** :gray[· ten minutes]")
        st.markdown("Lessons with live figures and experiments of seconds. You guess first, and see what comes out.")
        found = lessons.listed()[0]
        left = next((each for each in found if each.slug == guesses.last()), None)
        if left is None:
            if st.button("Open the lessons", icon=":material/school:", key="lessons"):
                st.switch_page(state.LEARN)
        elif st.button("Continue the lesson", help=left.title, icon=":material/school:", key="lessons"):
            st.switch_page(state.LEARN, query_params={"lesson": left.slug})
    with do, st.container(border=True, height="stretch", key="do"):
        st.markdown("**Do it** :gray[· your own data]")
        st.markdown("Choose a teacher, a loss and a corpus, your own or one that ships, and start. Or compare models that are there.")
        with st.container(horizontal=True):
            if st.button("New experiment", icon=":material/add:", key="new"):
                st.switch_page(state.NEW)
            if st.button("Compare models", icon=":material/forum:", key="compare"):
                st.switch_page(state.COMPARE)


def begin() -> None:
    """Draw the ways in, and where one left off: that first as soon as there is something."""
    if state.store().runs(limit=1):
        recent()
        st.subheader("Three ways in", anchor=False)
        ways()
    else:
        ways()
        recent()


def recent() -> None:
    """Draw the latest runs, again every few seconds while one of them is active."""
    lives = any(map(state.lives, state.store().runs(limit=RECENT)))
    fragments.fragment(_recent, run_every=POLL_SECONDS if lives else None)()


def sessions_link() -> None:
    """Draw the way to the list of sessions, and to logging out, where there is a password."""
    if settings.PASSWORD.read():
        st.html(f'<a href="{base_path()}/sessions" target="_self">Sessions and log out</a>')


def _recent() -> None:
    with views.errors_shown():
        views.queue_warning()
        runs = state.store().runs(limit=RECENT)
        if not runs:
            _what_will_happen()
            return
        st.subheader("Where you left off", anchor=False)
        for run in runs:
            _row(run)
        st.page_link(state.RUNS, label="All runs", icon=":material/arrow_forward:")


def _what_will_happen() -> None:
    """In the place of runs: the quickstart as a picture, and its three acts."""
    config = starting_points.from_recipe(starting_points.FIRST).config
    assert config.teacher is not None  # the quickstart distils
    plan, _ = plan_view.static(config)
    st.space("small")
    with st.container(border=True, key="what will happen"):
        picture, acts = st.columns([5, 6], gap="large", vertical_alignment="center")
        with picture:
            if plan is not None and plan.student is not None and plan.teacher is not None:
                st.markdown(layer_picture(plan.teacher.layers, plan.student.layers, plan.layer_map), unsafe_allow_html=True)
        with acts:
            st.markdown("**No runs yet.** The quickstart runs the whole workflow in a few minutes on a laptop:")
            st.markdown(
                f":material/school: **A teacher.** The model {config.teacher.model} is evaluated on held-out film reviews.\n\n"
                f":material/content_copy: **A student.** Half of its blocks are copied and distilled for {config.train.max_steps} steps, "
                "with live curves; a control is trained on the same text without the teacher.\n\n"
                ":material/forum: **Side by side.** Send both the same prompt and see token by token where they differ.")
    recipe = starting_points.from_recipe(kinds.DISTILBERT).config
    if recipe.teacher is not None and any(entry.name == recipe.teacher.model for entry in state.models()):
        with st.container(border=True, key="or an encoder"):
            st.markdown(f"**Or a masked language model (MLM), which predicts masked tokens.** DistilBERT's triple loss distils half of "
                        f"{recipe.teacher.model}'s blocks with soft targets, masked tokens and hidden states, all three plotted live.")
            st.page_link(state.NEW, label="Distil an encoder", icon=":material/arrow_forward:", query_params={"recipe": kinds.DISTILBERT})


def _row(run: Run) -> None:
    store = state.store()
    latest = store.latest_metrics(run.id).get("student", {})
    with st.container(border=True):
        name, curve, numbers, when = st.columns([3, 2, 4, 2], vertical_alignment="center")
        with name, st.container(horizontal=True, vertical_alignment="center"):
            st.page_link(state.RUN, label=f"**{run.name}**", query_params={"run": run.id})
            views.status_badge(run)
        with curve:
            losses = _losses(run) if state.lives(run) else _final_losses(str(store.path), run.id, run.finished)
            views.sparkline(losses, f"loss of {run.name}")
        known = [f"{label} {views.number(latest[name], name)}" for name, label in SHOWN.items() if name in latest]
        numbers.caption("  ·  ".join(known) or " ")
        step = results.steps_text(run) if run.active else ""
        when.caption(step or views.ago(run.created))


def _losses(run: Run) -> list[float]:
    """About `CURVE_POINTS` values of the student's loss, over the whole run."""
    points = state.store().metric_series_tail(run.id, "loss", limit=MOST_STEPS)
    return [value for _, value in points[:: max(len(points) // CURVE_POINTS, 1)]]


@st.cache_resource(max_entries=100, show_spinner=False)
def _final_losses(store_path: str, run_id: str, finished: float | None) -> list[float]:
    """Return the same of a run that has ended, read once."""
    return _losses(state.store().run(run_id))
