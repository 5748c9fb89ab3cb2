"""The list of runs: filter, choose, lay curves over one another, compare final metrics; and the bin."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from core.config import BridgeConfig, ChainConfig, EnsembleConfig, ReadingConfig, SpecialistsConfig
from core.errors import ConfigError
from core.loss_terms import LOSS_TERMS
from core.metrics import METRICS
from workbench.screens.shared import charts, comparability, panes, results, state, views
from workbench.screens.shared.live_plotly import live_plotly
from workbench.screens.shared.sweep_line import sweep_line
from workbench.store import references
from workbench.store.records import Run
from workbench.store.sweeps import Sweep

OVERLAYS = ("eval/perplexity", "eval/kl_to_teacher", "eval/agreement", "eval/sentiment_accuracy", "eval/masked_accuracy",
            "eval/bits_per_byte", "eval/accuracy", "eval/answer_f1", "loss",
            *(f"raw/{term.name}" for term in LOSS_TERMS), "tokens_per_second")
LISTED = {"perplexity": "Perplexity", "kl_to_teacher": "KL", "agreement": "Agreement", "sentiment_accuracy": "Sentiment",
          "masked_accuracy": "Masked", "accuracy": "Accuracy", "answer_f1": "Answer F1"}
MOST_COMPARED = 3  # models side by side in the chat
MOST_OVERLAID = 8  # number of distinguishable colours
TICKED = "ticked runs"  # the ids of the runs that are ticked, kept by the session


def listing(runs: Sequence[Run]) -> list[Run]:
    """Draw the filter and the table, and return the runs that are ticked."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input("Search", placeholder="name or teacher", key="search", bind="query-params", width=280)
        present = [status for status in views.STATUS_LOOKS if any(run.status == status for run in runs)]
        wanted = st.pills("Status", present, selection_mode="multi", key="statuses", format_func=str.capitalize) if len(present) > 1 else []
        swept = state.store().sweeps_of_runs()
        grouped = st.toggle("Group sweeps", value=True, key="grouped", help=(
            "On: the runs of a sweep stand behind its line. Off: each is a row of the table.")) if swept else False
    shown = [run for run in runs if matches(run, text, wanted)]
    if grouped:
        behind = {sweep.id: sweep for run in shown if (sweep := swept.get(run.id)) is not None}
        for sweep in behind.values():
            sweep_line(sweep)
        shown = [run for run in shown if run.id not in swept]
        if behind and not shown:
            return []
    if not shown:
        views.empty_state("No run matches. Change the search or the status.", "search_off")
        return []
    table, ids = summary(shown, {} if grouped else swept), [run.id for run in shown]
    # Streamlit keeps a selection as positions of rows, under the table's key: a table of other rows has another key, and begins with the
    # runs of the earlier one that it shows.
    key = f"chosen.{hashlib.blake2b(' '.join(ids).encode(), digest_size=9).hexdigest()}"
    ticked: set[str] = st.session_state.get(TICKED, set())
    event = st.dataframe(
        table, hide_index=True, on_select=lambda: _tick(ids, st.session_state[key].selection.rows), selection_mode="multi-row", key=key,
        selection_default={"selection": {"rows": [row for row, each in enumerate(ids) if each in ticked]}}, placeholder="",
        column_config={
            "name": st.column_config.ButtonColumn("Name", type="tertiary", key="open", on_click=lambda: _open(shown), pinned=True,
                                                  alignment="left"),
            "status": st.column_config.TextColumn("Status", width=80), "sweep": "Sweep", "teacher": "Teacher",
            "depth": st.column_config.NumberColumn("Depth", help="Blocks of the student.", width=60),
            "temperature": st.column_config.NumberColumn("T", format="%g", help="Temperature of the soft targets.", width=45),
            "steps": st.column_config.TextColumn("Steps", help="Completed steps of each variant.", width=150),
            "created": st.column_config.DatetimeColumn("Created", format="distance", width=110),
            **{name: st.column_config.NumberColumn(short, help=f"{views.label(f'eval/{name}')}: {METRICS[f'eval/{name}'].help}", width=85,
                                                   format="percent" if f"eval/{name}" in views.SHARES else "%.4g")
               for name, short in LISTED.items()}})
    _tick(ids, event.selection.rows)
    return [shown[row] for row in event.selection.rows]


def matches(run: Run, text: str, statuses: Sequence[str]) -> bool:
    """Whether the filter lets a run through; `text` may be part of its name or of its teacher's."""
    known = f"{run.name} {run.config_json}".lower() if text else ""
    return (not statuses or run.status in statuses) and text.lower().strip() in known


def summary(runs: Sequence[Run], swept: Mapping[str, Sweep] | None = None) -> pd.DataFrame:
    """One row a run: its settings and the last held-out metrics of its student.

    Args:
        swept: run id -> the sweep that queued it.
    """
    rows, all_latest = [], state.store().latest_of_all([f"eval/{name}" for name in LISTED])
    for run in runs:
        latest = all_latest.get(run.id, {})
        rows.append({"name": run.name, "status": run.status,
                     "sweep": swept[run.id].name if swept and run.id in swept else None, **_settings(run),
                     "steps": results.steps_text(run) or None,
                     **{name: latest.get(f"eval/{name}") for name in LISTED}, "created": pd.Timestamp(run.created, unit="s", tz="UTC")})
    return pd.DataFrame(rows).dropna(axis="columns", how="all")


def actions(runs: Sequence[Run]) -> None:
    """Draw the actions on the selected runs."""
    trained = [run for run in runs if (run.output_dir / "config.json").is_file()]
    idle = [run for run in runs if not run.active]
    with st.container(horizontal=True, vertical_alignment="center"):
        offer = f"The first {MOST_COMPARED} of the trained students, side by side." if trained else "None has a trained student."
        if st.button("Compare their models", icon=":material/forum:", key="compare ticked", disabled=not trained, help=offer):
            names = [run.name for run in trained[:MOST_COMPARED]]
            panes.open_with(names, panes.of_models(names) or panes.CHAT)
        if st.button("Move to the bin", icon=":material/delete:", key="bin ticked", disabled=not idle, help=(
                "Active runs are skipped; stop them first." if len(idle) < len(runs) else "Can be undone.")):
            state.put_into_bin(*idle)
            st.session_state.pop(TICKED, None)
            st.rerun()


def overlay(runs: Sequence[Run]) -> None:
    """Draw the curves of the ticked runs over one another, and their final metrics side by side."""
    chosen = runs[:MOST_OVERLAID]
    if len(runs) > MOST_OVERLAID:
        st.caption(f"The first {MOST_OVERLAID} of the {len(runs)} selected runs are drawn.")
    tables = pd.concat([state.curves(run.id).assign(run=run.name) for run in chosen], ignore_index=True)
    logged = [name for name in OVERLAYS if (tables["name"] == name).any()]
    if not logged:
        views.empty_state("These runs have not logged anything yet.", "show_chart")
        return
    name = st.selectbox("Metric", logged, format_func=charts.axis_label, key="overlaid", width=320)
    _figures(chosen, tables, name)
    st.subheader("Final metrics", anchor=False)
    head, rows = final_table(chosen)
    if not rows:
        views.empty_state("None of these runs has been evaluated after training. Their metrics stand here when they finish.", "table_chart")
        return
    views.text_table(head, rows, numbers=True, label="Final metrics of the selected runs")
    apart = [METRICS[each].label for each in map("eval/{}".format, results.ROWS)
             if METRICS[each].label in head and len(comparability.groups(chosen, each, state.store())) > 1]
    if apart:
        st.caption(f":material/warning: Measured on different texts, vocabularies, teachers or tasks, so that rows do not compare: "
                   f"{', '.join(apart)}.")


def _figures(runs: Sequence[Run], tables: pd.DataFrame, name: str) -> None:
    """Draw one figure for each group of runs whose values compare with each other."""
    logged = set(tables.loc[tables["name"] == name, "run"])
    groups = comparability.groups([run for run in runs if run.name in logged], name, state.store())
    if len(groups) > 1:
        st.caption(f":material/warning: {charts.axis_label(name)} does not compare between these runs, which differ in what it is "
                   "measured on or against: a figure for each.")
    for number, (basis, members) in enumerate(groups.items()):
        names = [run.name for run in members]
        if len(groups) > 1:
            st.markdown(f"**{views.plain(basis)}**")
        live_plotly(charts.overlay(tables[tables["run"].isin(names)], name), key=f"overlay.{number}",
                    label=f"{charts.axis_label(name)} of {', '.join(names)}")


def final_table(runs: Sequence[Run]) -> tuple[list[str], list[list[str]]]:
    """Head and rows: one row a run and model (student, control), one column a metric."""
    measured = [(run, results.measurements(state.store(), run)) for run in runs]
    names = [name for name in results.ROWS if any(name in metrics for _, who in measured for metrics in who.values())]
    rows = [[f"{run.name}, {label}", *(views.number(who[each].get(name), f"eval/{name}") for name in names)]
            for run, who in measured for each, label in (("student_after", "student"), ("control", "control")) if each in who]
    return ["Run", *(METRICS[f"eval/{name}"].label for name in names)], rows


def bin_contents() -> None:
    """Draw the deleted runs, each to be restored or permanently deleted."""
    store = state.store()
    deleted = [(run, when) for run in store.runs(include_deleted=True) if (when := run.deleted) is not None]
    if not deleted:
        return
    with st.expander(f"Bin ({len(deleted)})", icon=":material/delete:"):
        for run, when in deleted:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f"**{run.name}**  :gray[deleted {views.ago(when)}]", width="stretch")
                if st.button("Restore", key=f"restore.{run.id}", icon=":material/undo:"):
                    state.take_from_bin(run)
                    st.rerun()
                if st.button("Delete permanently", key=f"purge.{run.id}", icon=":material/delete_forever:",
                             help="Deletes the run folder and all its metrics."):
                    store.purge(run.id)
                    st.rerun()


def undo_offer() -> None:
    """Draw a notice after a deletion, with a button that undoes it."""
    runs = state.binned()
    if not runs:
        return
    with st.container(horizontal=True, vertical_alignment="center", border=True):
        names = ", ".join(f"**{run.name}**" for run in runs)
        st.markdown(f":material/delete: {names} {'is' if len(runs) == 1 else 'are'} in the bin.", width="stretch")
        if st.button("Undo", key="undo", icon=":material/undo:"):
            state.take_from_bin(*runs)
            st.rerun()


def _tick(ids: Sequence[str], rows: Sequence[int]) -> None:
    """Keep which of the runs `ids` are ticked, the table's rows in their order; those that it does not show stay as they are."""
    st.session_state[TICKED] = st.session_state.get(TICKED, set()) - set(ids) | {ids[row] for row in rows}


def _open(shown: Sequence[Run]) -> None:
    st.switch_page(state.RUN, query_params={"run": shown[st.session_state["open"]["row"]].id})


def _settings(run: Run) -> dict[str, object]:
    try:
        config = references.duplicate(run, state.store())
    except ConfigError:  # written by another release
        return {}
    teacher = (config.bridge if isinstance(config, BridgeConfig) else config.reading if isinstance(config, ReadingConfig) else
               config.teacher)
    several = (f"{config.ensemble.size} classifiers" if isinstance(config, EnsembleConfig) else
               "specialists" if isinstance(config, SpecialistsConfig) else "none")
    return {"teacher": teacher.model if teacher else several, "temperature": config.losses.temperature if config.teacher else None,
            "depth": None if isinstance(config, ChainConfig) else results.student_depth(config)}
