"""The form that trains a created model together with its baselines, and the panel that overlays their curves."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core.chains.folder import Chain
from core.recorder import STUDENT
from workbench.errors import RunNotFoundError
from workbench.runs import jobs
from workbench.screens.chain import curve_analysis, recovery
from workbench.screens.shared import charts, fragments, results, state, views
from workbench.screens.shared.live_plotly import live_plotly
from workbench.store import chains
from workbench.store.chains import ChainPlace, CreatedModel
from workbench.store.records import Run

POLL_SECONDS = 2.0
METRIC = "eval/cross_entropy"
SHOWN = "chain.recovery"  # in the session state: the recovery that the panel shows


def form(place: ChainPlace, chain: Chain, model: CreatedModel) -> None:
    """Draw the token budget, the teacher, the start of all three runs, and the link to the full form for a single run."""
    large, _ = curve_analysis.anchors_around(chain, model.target)
    key, per_step = f"recovery.{model.name}", recovery.tokens_per_step(chain)
    called = recovery.names(chain, model.target)
    st.markdown(f"Trains **{views.plain(model.name)}** and its baselines, each on the same tokens in the same order: "
                f"{called[recovery.RANDOM]}; {called[recovery.NEAREST]}.")
    tokens = st.number_input("Tokens per run", per_step, None, recovery.STEPS * per_step, step=50 * per_step, key=f"{key}.tokens")
    distilled = st.segmented_control("Training signal", (True, False), default=True, required=True, key=f"{key}.distilled",
                                     format_func=lambda distilled: (
                                         f"distillation from anchor {large.number}" if distilled else "text only"))
    seed = st.number_input("Seed", 0, 2**32 - 1, 42, key=f"{key}.seed")
    st.caption(f"{max(1, round(tokens / per_step)):,} steps each, one run after the other, in the background.")
    if st.button("Start all three", type="primary", icon=":material/play_arrow:", key=f"{key}.start", width="stretch"):
        with views.errors_shown():
            start(place, chain, model, distilled=distilled, tokens=tokens, seed=seed)
            st.rerun()
    if st.button("Train only this model", icon=":material/tune:", key=f"{key}.form", type="tertiary",
                 help=f"Opens the experiment form, filled in: distillation from anchor {large.number} with a control."):
        st.switch_page(state.NEW, query_params={"recipe": "quickstart", "set": link(place, model, large.number)})


def start(place: ChainPlace, chain: Chain, model: CreatedModel, *, distilled: bool, tokens: int, seed: int) -> None:
    """Queue the three runs and record their ids. Raises what `jobs.submit` raises."""
    begun: dict[str, str] = {}
    try:
        for role, config in recovery.configs(place, chain, model, distilled=distilled, tokens=tokens, seed=seed).items():
            begun[role] = jobs.submit(config, state.store()).id
    finally:
        if begun:
            chains.update_record(model.folder, recoveries=[*model.recoveries, begun])
            st.session_state.pop(SHOWN, None)


def link(place: ChainPlace, model: CreatedModel, teacher: int) -> list[str]:
    """Return what a link sets in the new-experiment form to continue training a created model: a short run from the larger anchor."""
    return [f"name={model.name}-recovered", f"teacher.model={place.name}:{teacher}", f"student.model={model.folder}", "student.layers=null",
            f"train.max_steps={recovery.STEPS}", "control=true"]


# ---------------------------------------------------------------------------------------------------- results


def recoveries(place: ChainPlace, chain: Chain) -> None:
    """Draw the latest recovery, or the selected one; nothing when there is none."""
    found = {ids[recovery.CREATED]: (model, runs) for model in chains.created(place) for ids in reversed(model.recoveries)
             if (runs := _runs(ids)).get(recovery.CREATED)}
    if not found:
        return
    newest_first = sorted(found, key=lambda run_id: -found[run_id][1][recovery.CREATED].created)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader("Recovery training", anchor=False, width="content")
        st.space("stretch")
        if st.session_state.get(SHOWN) not in newest_first:
            st.session_state[SHOWN] = newest_first[0]
        if len(newest_first) > 1:
            st.selectbox("Recovery", newest_first, key=SHOWN, width=320, label_visibility="collapsed",
                         format_func=lambda run_id: found[run_id][1][recovery.CREATED].name)
    model, runs = found[st.session_state[SHOWN]]
    lives = any(map(state.lives, runs.values()))
    called = recovery.names(chain, model.target)
    fragments.fragment(_panel, run_every=POLL_SECONDS if lives else None)({role: run.id for role, run in runs.items()}, called, lives)


def _runs(ids: dict[str, str]) -> dict[str, Run]:
    """Return the runs of a recovery that still exist and are not in the bin."""
    there = {}
    for role, run_id in ids.items():
        try:
            run = state.store().run(run_id)
        except RunNotFoundError:
            continue
        if run.deleted is None:
            there[role] = run
    return there


def _panel(ids: dict[str, str], called: dict[str, str], was_live: bool) -> None:
    with views.errors_shown():
        runs = _runs(ids)
        if not runs or was_live != any(map(state.lives, runs.values())):
            st.rerun()
        tables = {role: state.curves(run.id) for role, run in runs.items()}
        curves = {role: _curve(table) for role, table in tables.items()}
        left, right = st.columns([7, 5], gap="large")
        with left:
            if any(curves.values()):
                everything = st.toggle("Random initialisation", value=True, key="recovery.random",
                                       help="Its loss is far above the others; switch it off to see them.")
                shown = [role for role in tables if everything or role != recovery.RANDOM]
                drawn = pd.concat([tables[role].assign(run=called[role]) for role in shown], ignore_index=True)
                live_plotly(charts.overlay(drawn, METRIC), key=f"recovery.{runs[next(iter(runs))].id}.{everything}",
                            label="Held-out cross-entropy over the steps of the three runs")
            else:
                views.empty_state("Nothing has been measured yet. The curves appear here during training.", "show_chart")
        with right:
            for role, run in runs.items():
                _line(run, called[role])
            ended = all(run.status == "finished" for run in runs.values()) and len(runs) == len(recovery.ROLES)
            done = recovery.RANDOM in runs and runs[recovery.RANDOM].status == "finished"
            head, rows = recovery.table(curves, called, ended=done)
            views.text_table(head, rows, numbers=True, label="Losses of the three runs and their time-to-target ratios")
            if ended:
                points = charts.select(tables[recovery.CREATED], STUDENT, "tokens")["value"]
                st.markdown(recovery.finding(curves, called, int(points.iloc[-1]) if len(points) else 0))
            st.caption("Loss in nats per token. Target: the final loss of the random initialisation. Ratio: its steps over those of the "
                       f"model to the target, from {recovery.EVALUATIONS} evaluations; ≥ where the model starts below it. One seed.")


def _line(run: Run, called: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.page_link(state.RUN, label=called, query_params={"run": run.id}, icon=":material/show_chart:")
        views.status_badge(run)
    if run.active:
        st.progress(results.share_done(run), text=results.progress_text(run))
    elif run.message and run.status != "finished":
        st.caption(views.no_images(f"{run.message} {run.hint or ''}"))


def _curve(table: pd.DataFrame) -> dict[int, float]:
    found = charts.select(table, STUDENT, METRIC)
    return dict(zip(found["step"].astype(int).tolist(), found["value"].astype(float).tolist(), strict=True))
