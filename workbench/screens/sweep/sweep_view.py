"""One sweep: how far it is, what to do with all its runs, and which settings are better than chance."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core.evaluation.statistics import interval_words
from core.metrics import METRICS
from core.reports.run_report import RunReport
from core.studies.sweeps.ranking import CellScores, Ranking, rank
from core.system import units
from workbench.runs import sweeps
from workbench.runs.sweep_estimate import seconds_left
from workbench.runs.sweeps import SweepProgress
from workbench.screens.shared import fragments, results, state, views
from workbench.screens.shared.downloads import download
from workbench.screens.shared.live_plotly import live_plotly
from workbench.screens.shared.tracker_buttons import tracker_buttons
from workbench.screens.sweep import figures, list_view
from workbench.screens.sweep.form import left_out
from workbench.store.records import RESUMABLE
from workbench.store.sweeps import Sweep, SweepRun

POLL_SECONDS = 2.0
MOST_COLUMNS = 6  # of keys and metrics together; the chosen metric always has one
MOST_FAILURES = 5  # messages of failed runs that are shown


def sweep_of_url() -> Sweep | None:
    """Return the sweep that ``?sweep=`` names. Raises SweepNotFoundError."""
    reference = st.query_params.get("sweep")
    return state.store().sweep(reference) if reference else None


def show(sweep: Sweep) -> None:
    """Draw the page of a sweep."""
    runs = state.store().sweep_runs(sweep.id, include_deleted=sweep.deleted is not None)
    progress = sweeps.progress_of(runs)
    _header(sweep, runs, progress)
    if progress.pending:
        fragments.fragment(_progress, run_every=POLL_SECONDS)(sweep.id, dict(progress.counts))
    else:
        st.caption(views.plain(progress.text))
    _failures(runs)
    left_out(sweep.left_out)
    _results(sweep, runs)
    _runs(sweep, runs)
    with st.container(horizontal=True):
        tracker_buttons([each.run for each in runs], sweep.id)
    if sweep.command:
        st.code(sweep.command, language="bash", wrap_lines=True)


def _header(sweep: Sweep, runs: list[SweepRun], progress: SweepProgress) -> None:
    store = state.store()
    st.page_link(state.SWEEP, label="All sweeps", icon=":material/arrow_back:")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title(sweep.name, width="content", anchor=False)
        views.word_badge(progress.status)
        st.space("stretch")
        with st.container(horizontal=True, width="content"):
            if progress.pending and st.button("Stop all", icon=":material/stop:", key="stop all", help=(
                    "Runs that wait are withdrawn; those that train save a checkpoint first.")):
                sweeps.stop_all(sweep, store)
                st.rerun()
            failed = [each for each in runs if each.own and each.run.status in ("failed", "lost")]
            if failed and st.button("Retry the failed", icon=":material/replay:", key="retry", help=f"{len(failed)} runs"):
                with views.errors_shown():
                    sweeps.retry_failed(sweep, store)
                    st.rerun()
            if any(each.own and each.run.status in RESUMABLE for each in runs) and sweep.deleted is None and st.button(
                    "Resume", type="primary", icon=":material/play_arrow:", key="resume sweep",
                    help="Stopped, failed and lost runs continue from their checkpoints."):
                with views.errors_shown():
                    sweeps.resume(sweep, store)
                    st.rerun()
            if sweep.deleted is None and st.button("Delete", icon=":material/delete:", key="delete sweep", disabled=bool(progress.pending),
                                                   help="Stop it first." if progress.pending else "Moves it to the bin, with its runs."):
                store.delete_sweep(sweep.id)
                state.forget_models()
                st.session_state[list_view.UNDO] = sweep.id
                st.switch_page(state.SWEEP, query_params={})
    if sweep.deleted is not None:
        st.info("This sweep is in the bin. Restore it from the Sweep page to keep it.", icon=":material/delete:")


def _progress(sweep_id: str, counts: dict[str, int]) -> None:
    with views.errors_shown():
        runs = state.store().sweep_runs(sweep_id)
        progress = sweeps.progress_of(runs)
        if dict(progress.counts) != counts:
            st.rerun()  # redraws the page, with the results so far
        left = seconds_left(runs)
        rest = f", about {units.duration(left)} left" if left is not None else ""
        st.progress(progress.share, text=views.plain(f"{progress.text}{rest}"))


def _failures(runs: list[SweepRun]) -> None:
    failed = [each.run for each in runs if each.run.status in ("failed", "lost")]
    if not failed:
        return
    lines = "\n".join(f"- {views.plain(run.name)}: {views.plain(run.message or run.status)}" for run in failed[:MOST_FAILURES])
    more = f"\n- … and {len(failed) - MOST_FAILURES} more" if len(failed) > MOST_FAILURES else ""
    said = "1 run failed.** Its values are" if len(failed) == 1 else f"{len(failed)} runs failed.** Their values are"
    st.error(views.no_images(f"**{said} missing below.\n\n{lines}{more}"), icon=":material/error:")


# ------------------------------------------------------------------------------------------------ results


def _results(sweep: Sweep, runs: list[SweepRun]) -> None:
    store = state.store()
    measured = {each.run.id: store.measurements(each.run.id) for each in runs if each.run.status == "finished"}
    who = [each for each in results.SUBJECTS if any(each in found for found in measured.values())]
    subjects = [each for each in ("student_after", "control") if each in who] or who
    if not subjects:
        views.empty_state("No run has been measured yet. The table fills as runs finish: after the first seed every setting has a value.",
                          "table_chart")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        subject = subjects[0]
        if len(subjects) > 1:
            subject = st.segmented_control("Model", subjects, default=subject, required=True, key="sweep.subject",
                                           format_func=lambda each: results.SUBJECTS[each])
        cells = sweeps.scores_of(runs, measured, subject)
        names = [name for name in results.ROWS if any(cell.scores(name) for cell in cells)]
        if not names:
            views.empty_state("None of the measured numbers is finite.", "table_chart")
            return
        metric = st.selectbox("Metric", names, key=f"sweep.metric.{subject}", width=320,
                              format_func=lambda name: METRICS[f"eval/{name}"].label)
    ranking = rank(cells, metric)
    _best(ranking)
    head, rows = table(ranking, cells, sweep.keys, names)
    views.text_table(head, rows, label=f"Settings of {sweep.name}, best first", numbers=True)
    st.caption(f"Best first. ± is half of the interval of the mean ({interval_words('student_t')}); one seed has none.")
    drawn = figures.result_figure(cells, sweep.keys, metric, listed=sweep.spec.search == "grid")
    if drawn is not None:
        live_plotly(drawn, key=f"sweep.figure.{sweep.id}.{metric}.{subject}",
                    label=f"{METRICS[f'eval/{metric}'].label} by {', '.join(sweep.keys)}")
        if len(sweep.keys) == 1:
            st.caption(f"Line: mean over seeds; band: {interval_words('student_t')}; small dots: single runs.")
    if ranking.note:
        st.caption(f":material/balance: {views.plain(ranking.note)}")
    if kept := signals_text(runs):
        st.caption(f":material/database: {kept}")
    with st.container(horizontal=True):
        download("Settings (CSV)", lambda: settings_csv(cells, sweep.keys, names), file_name=f"{sweep.name}-settings.csv",
                 mime="text/csv", key="sweep.csv")
        download("Runs (CSV)", lambda: runs_csv(runs, measured, sweep.keys), file_name=f"{sweep.name}-runs.csv", mime="text/csv",
                 key="sweep.runs csv")


def signals_text(runs: list[SweepRun]) -> str:
    """Return how often the teacher was queried for answers that are kept, all runs together; empty where none are."""
    reports = [state.store().report(each.run.id) for each in runs if each.run.status == "finished" and each.own]
    found = [report.signals for report in reports if isinstance(report, RunReport) and report.signals is not None]
    if not found:
        return ""
    queried, reused = sum(each.queried for each in found), sum(each.reused for each in found)
    return f"The teacher answered {queried:,} blocks once; {reused:,} times an answer that was kept was read in place of it."


def _best(ranking: Ranking) -> None:
    if ranking.best is None or ranking.estimate is None:
        return
    others, alike = len(ranking.cells) - 1, len(ranking.alike)
    value = results.mean_text(ranking.estimate, ranking.metric).replace("\n", " ")
    words = ", ".join(f"{key} = {value}" for key, value in ranking.best.values.items()) or "the recipe as it is"
    interval = f" ({ranking.estimate.interval_words})" if ranking.estimate.method else ", one seed, no interval"
    among = f" Not distinguishable from it: {alike} of {others} other settings." if others else ""
    st.markdown(f"**{'Best' if others else 'Mean'}: {views.plain(words)}**, {views.plain(METRICS[f'eval/{ranking.metric}'].label)} "
                f"{views.plain(value)}{views.plain(interval)}.{among}")


def table(ranking: Ranking, cells: list[CellScores], keys: list[str], names: list[str]) -> tuple[list[str], list[list[str]]]:
    """Return head and rows: a setting a row, best first, with its means; the settings that were not measured stand last."""
    shown = [ranking.metric, *(name for name in names if name != ranking.metric)][:max(1, min(MOST_COLUMNS - len(keys), 4))]
    head = ["Setting", *keys, "Seeds", *(f"{views.label(f'eval/{name}')}{results.ARROWS[METRICS[f'eval/{name}'].better]}"
                                         for name in shown), "Against the best"]
    known = {cell.number for cell in ranking.cells}
    rows = []
    for cell in [*ranking.cells, *(cell for cell in cells if cell.number not in known)]:
        found = cell.scores(ranking.metric)
        diverged = f", {lost} diverged" if (lost := cell.diverged(ranking.metric)) else ""
        means = [results.mean_text(mean, name).replace(" ", "\u00a0") if (mean := cell.estimate(name)) else "–" for name in shown]
        rows.append([str(cell.number), *(cell.values.get(key, "–") for key in keys), f"{len(found)} of {cell.runs}{diverged}", *means,
                     _against(ranking, cell)])
    return head, rows


def _against(ranking: Ranking, cell: CellScores) -> str:
    if ranking.best is None or not cell.scores(ranking.metric):
        return "–"
    if cell.number == ranking.best.number:
        return "best"
    return "not distinguishable" if cell.number in ranking.alike else "worse"


def settings_csv(cells: list[CellScores], keys: list[str], names: list[str]) -> str:
    """Return one row a setting and metric: mean, interval, seeds."""
    rows = []
    for cell in cells:
        for name in names:
            if (found := cell.estimate(name)) is not None:
                rows.append({"setting": cell.number, **{key: cell.values.get(key) for key in keys}, "metric": name, "mean": found.value,
                             "low": found.low, "high": found.high, "seeds": len(cell.scores(name)), "diverged": cell.diverged(name)})
    return pd.DataFrame(rows).to_csv(index=False)


def runs_csv(runs: list[SweepRun], measured: dict[str, dict], keys: list[str]) -> str:
    """Return one row a run: its setting, seed, status, and every metric of every model."""
    rows = [{"setting": each.cell, **{key: each.chosen.get(key) for key in keys}, "seed": each.run.seed, "run": each.run.name,
             "id": each.run.id, "status": each.run.status,
             **{f"{subject}.{name}": value for subject, metrics in measured.get(each.run.id, {}).items()
                for name, value in metrics.items()}}
            for each in runs]
    return pd.DataFrame(rows).to_csv(index=False)


# ------------------------------------------------------------------------------------------------ runs


def _runs(sweep: Sweep, runs: list[SweepRun]) -> None:
    with st.expander(f"Runs ({len(runs)})", icon=":material/table_rows:", key="sweep.runs"):
        rows = [{"name": each.run.name, "status": each.run.status, "setting": each.cell,
                 **{key: each.chosen.get(key) for key in sweep.keys}, "seed": each.run.seed} for each in runs]
        st.dataframe(pd.DataFrame(rows), hide_index=True, key=f"sweep.table.{sweep.id}", column_config={
            "name": st.column_config.ButtonColumn("Name", type="tertiary", key="open run", on_click=lambda: _open(runs), pinned=True,
                                                  alignment="left"),
            "status": "Status", "setting": "Setting", "seed": st.column_config.NumberColumn("Seed", format="%d")})


def _open(runs: list[SweepRun]) -> None:
    st.switch_page(state.RUN, query_params={"run": runs[st.session_state["open run"]["row"]].run.id})
