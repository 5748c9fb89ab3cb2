"""The page Specialists: which run, its numbers, its confusions, each specialist, and what was distilled."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from core.config import SpecialistsConfig
from core.errors import ConfigError, CorruptModelError, ModelNotFoundError
from core.evaluation.statistics import Estimate, interval_words
from core.reports.run_report import RunReport, parse_report
from core.reports.specialists_report import SeedResult, SpecialistsSummary
from core.system.files import read_json
from workbench.screens.shared import state, views
from workbench.screens.shared.live_plotly import live_plotly
from workbench.screens.specialists import figures, opinions_view, start_form
from workbench.store.records import Run

STUDENT_WORDS = {"generalist": "network of the generalist", "specialists": "network of the specialists",
                 "ensemble": "network of the ensemble", "labels": "network of the labels alone"}


def show() -> None:
    """Draw a finished run, or what stands in its place."""
    runs = [run for run in state.store().runs() if is_of_specialists(run)]
    finished = [run for run in runs if run.status == "finished"]
    for run in runs:
        if run.active or run.status == "queued":
            with st.container(horizontal=True, vertical_alignment="center", border=True):
                st.markdown(f":material/hourglass: **{views.plain(run.name)}** is being trained.", width="stretch")
                if st.button("Open the run", key=f"open.{run.id}", icon=":material/open_in_new:"):
                    st.switch_page(state.RUN, query_params={"run": run.id})
    if not finished:
        views.empty_state("No specialists yet. The recipe trains a generalist for 40 confusable classes, finds what it confuses, trains a "
                          "specialist for each cluster, and distils all of them into one network. Some minutes on two cores.",
                          "diversity_3")
    start_form.draw(expanded=not finished)
    if finished:
        _draw(_chosen(finished))


def is_of_specialists(run: Run) -> bool:
    """Return whether a run trains specialists; a run whose configuration cannot be read does not."""
    try:
        return isinstance(run.config, SpecialistsConfig)
    except ConfigError:
        return False


def _chosen(finished: list[Run]) -> Run:
    names = {run.id: run.name for run in finished}
    linked = st.query_params.get("run")
    index = next((place for place, run in enumerate(finished) if linked in (run.id, run.name)), 0)
    chosen = st.selectbox("Run", list(names), index=index, format_func=lambda each: names[each], key="specialists.run")
    st.query_params["run"] = chosen
    return next(run for run in finished if run.id == chosen)


def _draw(run: Run) -> None:
    summary = _summary(run)
    first = summary.repetitions[0]
    _numbers(summary)
    _confusions(run, summary, first)
    _improvements(summary, first)
    _coverage(first)
    if first.students is not None:
        _students(summary)
    opinions_view.draw(run, summary)


def _summary(run: Run) -> SpecialistsSummary:
    plain = read_json(run.directory / "report.json")
    report = parse_report(plain) if plain is not None else None
    if not isinstance(report, RunReport) or report.specialists is None:
        raise ModelNotFoundError(f"The report of '{run.name}' is not there.", "A finished run with its folder was expected.",
                                 "Put the folder back, or repeat the run.")
    return report.specialists


def percent(estimate: Estimate) -> str:
    """Return an accuracy with its interval."""
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.1%}"
    return f"{estimate.value:.1%} ({estimate.low:.1%} to {estimate.high:.1%})"


def points(estimate: Estimate, unit: str = " points") -> str:
    """Return the difference of two accuracies in percentage points, with its interval; a table has the unit in its head."""
    value, low, high = (None if each is None else 100 * each for each in (estimate.value, estimate.low, estimate.high))
    return f"{value:+.1f}{unit}" if low is None or high is None else f"{value:+.1f}{unit} ({low:+.1f} to {high:+.1f})"


def _numbers(summary: SpecialistsSummary) -> None:
    numbers = summary.numbers
    with st.container(horizontal=True):
        st.metric("Generalist", f"{numbers['generalist'].value:.1%}", border=True, help="Accuracy over all test items and classes.")
        st.metric("Combined", f"{numbers['combined'].value:.1%}", f"{100 * numbers['overall_change'].value:+.1f} points", border=True,
                  help="The distribution that agrees best with the generalist and the relevant specialists.")
        st.metric("Specialists, own classes", f"{numbers['conditional_specialists'].value:.1%}",
                  f"{100 * numbers['conditional_change'].value:+.1f} points", border=True,
                  help="Items of a specialist's classes, predictions restricted to them; beside the generalist on the same.")
        if summary.best_accuracy is not None:
            st.metric("Best possible", f"{summary.best_accuracy:.1%}", border=True,
                      help="The classifier that knows how the texts were drawn; no network exceeds it but by chance.")
    said = [f"Combined minus generalist: {points(numbers['overall_change'])}.",
            f"Specialists minus generalist on their classes: {points(numbers['conditional_change'])}."]
    interval = numbers["combined"].interval_words
    st.caption(" ".join([*said, f"{interval}." if interval else "One seed, so no interval.",
                         "The classes are planted: confusable by design." if summary.planted else ""]))


def _confusions(run: Run, summary: SpecialistsSummary, first: SeedResult) -> None:
    st.subheader("What the generalist confuses", anchor=False)
    try:
        covariance = np.load(run.directory / "panel" / "covariance.npy", allow_pickle=False)
    except FileNotFoundError as error:
        raise ModelNotFoundError(f"The panel of '{run.name}' is not there any more.", "A finished run with its folder was expected.",
                                 "Put the folder back, or repeat the run.") from error
    except (OSError, ValueError) as error:
        raise CorruptModelError(f"The covariance of '{run.name}' cannot be read.", "The file that the run wrote was expected.",
                                "Repeat the run.") from error
    left, right = st.columns([3, 2], gap="medium")
    with left:
        live_plotly(figures.confusions(covariance, first.order, first.clusters, summary.labels), key=f"confusions.{run.id}",
                    label="Covariance of the generalist's predictions, clusters outlined")
        st.caption("Covariance of the generalist's predictions on held-out items, without labels; red: predicted together. Clusters are "
                   "outlined; variances, on the diagonal, are left out.")
    with right:
        rows = [(str(number), ", ".join(summary.labels[each] for each in members)) for number, members in enumerate(first.sets, start=1)]
        views.text_table(("Specialist", "Classes"), rows, label="Classes of each specialist")
        if first.single:
            alone = ", ".join(summary.labels[each] for each in first.single)
            st.caption(f"Without a specialist, as nothing is confused with them: {alone}.")
        if first.purity is not None and first.random_purity is not None:
            st.caption(f"{first.purity:.0%} of the classes lie in a cluster of their planted topic; in random clusters of the same sizes "
                       f"{first.random_purity:.0%} would.")


def _improvements(summary: SpecialistsSummary, first: SeedResult) -> None:
    st.subheader("Each specialist beside the generalist", anchor=False)
    dots = pd.DataFrame([{"label": f"{number}: {_few(summary, gain.classes)}", "value": gain.difference.value, "low": gain.difference.low,
                            "high": gain.difference.high}
                         for number, gain in enumerate(first.improvements, start=1) if gain.difference is not None])
    left, right = st.columns([3, 2], gap="medium")
    with left:
        if len(dots):
            live_plotly(figures.improvements(dots), key="improvements",
                        label="Conditional accuracy of each specialist minus the generalist's")
            st.caption(f"{interval_words('paired_wald', over='its items')}; first seed.")
        else:
            views.empty_state("No test item is of a specialist's classes.", "rule")
    with right:
        rows = [(str(number), f"{gain.items:,}", f"{gain.generalist:.1%}", f"{gain.specialist:.1%}",
                 points(gain.difference, "") if gain.difference else "no items")
                for number, gain in enumerate(first.improvements, start=1)]
        views.text_table(("", "Items", "Generalist", "Specialist", "Difference, points"), rows, numbers=True,
                         label="Conditional accuracies")


def _few(summary: SpecialistsSummary, classes: tuple[int, ...]) -> str:
    names = ", ".join(summary.labels[each] for each in classes[:2])
    return f"{names}, …" if len(classes) > 2 else names


def _coverage(first: SeedResult) -> None:
    st.subheader("By how many specialists have the right class", anchor=False)
    rows = [(str(row.covering), f"{row.items:,}", f"{row.generalist:,}", f"{row.combined:,}", f"{row.combined - row.generalist:+,}",
             "" if row.relative_change is None else f"{row.relative_change:+.1%}") for row in first.coverage]
    views.text_table(("Specialists", "Test items", "Generalist right", "Combined right", "Change", "Relative"), rows,
                     label="Accuracy by coverage", numbers=True)
    st.caption(f"First seed. For {first.heard:.0%} of the items a specialist was heard; of the others the generalist's answer stands.")


def _students(summary: SpecialistsSummary) -> None:
    st.subheader("Back into one network", anchor=False)
    numbers, members = summary.numbers, summary.repetitions[0].members
    lines = [("generalist", "generalist"), ("combined", "generalist and specialists"), ("ensemble", f"ensemble of {members} generalists"),
             *((f"student_of_{name}", words) for name, words in STUDENT_WORDS.items())]
    dots = pd.DataFrame([{"label": words, "value": numbers[key].value, "low": numbers[key].low, "high": numbers[key].high}
                         for key, words in lines]).astype({"low": float, "high": float})
    left, right = st.columns([3, 2], gap="medium")
    with left:
        live_plotly(figures.accuracies(dots), key="students", label="Accuracy of each answer and of each distilled network")
    with right:
        views.text_table(("", "Accuracy"), [(words, percent(numbers[key])) for key, words in lines], label="Accuracies", numbers=True)
    over = [f"{points(numbers[f'student_of_specialists_over_{name}'])} against the {STUDENT_WORDS[name]}"
            for name in ("generalist", "ensemble", "labels")]
    st.caption(f"The network distilled from generalist and specialists: {'; '.join(over)}. All had the same start, order and steps; the "
               f"ensemble was trained on about as many items as generalist and specialists together. T = {summary.temperature:g}.")
