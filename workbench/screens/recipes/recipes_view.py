"""Draw recipes over seeds: the table of means, a column for any key, the difference of two, every run, downloads."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.evaluation.statistics import Estimate
from core.metrics import METRICS, metric
from workbench.screens.recipes import grouping
from workbench.screens.recipes.grouping import Group
from workbench.screens.shared import results, state, views
from workbench.screens.shared.downloads import download
from workbench.store import bundles

FIRST_METRICS = 4  # columns unless others are chosen
MOST_KEYS, LONGEST_VALUE = 8, 40  # keys in which two recipes differ that are named, and characters of a value


def show() -> None:
    """Draw the page."""
    runs = [run for run in state.store().runs(status="finished") if not run.builds_chain]
    measured = {run.id: found for run in runs if (found := results.measurements(state.store(), run)).get("student_after")}
    groups = grouping.grouped(runs, measured)
    if not groups:
        views.empty_state("No finished run yet. Runs of one recipe with different seeds are grouped here.", "science")
        st.page_link(state.NEW, label="New experiment", icon=":material/add:")
        return
    groups = _found(groups)
    if not groups:
        views.empty_state("No recipe matches. Change the search.", "search_off")
        return
    subject, metrics, keys = _columns(groups)
    head, rows = mean_table(groups, subject, metrics, keys)
    views.text_table(head, rows, label="Recipes over seeds", numbers=True, first_width="12rem")
    st.caption("± is half of the 95% interval of the mean, Student's t over seeds; a recipe with one seed has none.")
    with st.expander("Every run, with its seed", icon=":material/table_rows:"):
        st.dataframe(grouping.run_table(groups, keys, metrics, subject), hide_index=True, column_config={
            name: st.column_config.NumberColumn(METRICS[f"eval/{name}"].label.capitalize(),
                                                format="percent" if f"eval/{name}" in views.SHARES else "%.4g") for name in metrics})
    download("All runs (CSV)", lambda: grouping.everything_csv(groups), file_name="runs.csv", mime="text/csv", key="recipes.csv",
             help="One row a run: every key of its recipe, every metric of every model, versions, commit and command.")
    if len(groups) > 1:
        _difference(groups, subject, metrics)
    _bundle(groups)


def _found(groups: Sequence[Group]) -> list[Group]:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input("Search", placeholder="name of a run, or a value of a key", key="search", bind="query-params", width=280)
        several = st.toggle("Several seeds only", key="recipes.several")
    lowered = text.lower().strip()
    return [group for group in groups if (not several or len(group.runs) > 1)
            and lowered in " ".join([*(run.name for run in group.runs), *map(str, group.keys.values())]).lower()]


def _columns(groups: Sequence[Group]) -> tuple[str, list[str], list[str]]:
    """Draw the choice of the model, the metrics and the keys that are columns."""
    who = [each for each in results.SUBJECTS if any(each in measured for group in groups for measured in group.measured)]
    left, middle, right = st.columns([1, 2, 2], gap="medium")
    subject = left.selectbox("Model", who, format_func=lambda each: results.SUBJECTS[each], key="recipes.subject")
    names = [name for name in results.ROWS if any(group.values(subject, name) for group in groups)]
    most = sorted(names, key=lambda name: -sum(bool(group.values(subject, name)) for group in groups))[:FIRST_METRICS]
    metrics = middle.multiselect("Metrics", names, default=[name for name in names if name in most], key=f"recipes.metrics.{subject}",
                                 format_func=lambda name: METRICS[f"eval/{name}"].label)
    keys = list(dict.fromkeys(key for group in groups for key in group.keys))
    linked = [key for key in st.query_params.get("by", "").split(",") if key in keys]
    chosen = right.multiselect("Recipe keys", keys, default=linked or grouping.differing_keys(groups)[:FIRST_METRICS], key="recipes.by",
                               help="A column each; those in which the recipes differ are chosen first.")
    st.query_params["by"] = ",".join(chosen)
    return subject, metrics, chosen


def mean_table(groups: Sequence[Group], subject: str, metrics: Sequence[str], keys: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Return head and rows: a recipe a row, with its keys, seeds and means."""
    head = ["Recipe", *keys, "Seeds",
            *(f"{views.label(f'eval/{name}')}{results.ARROWS[METRICS[f'eval/{name}'].better]}" for name in metrics)]
    rows = []
    for label, group in zip(grouping.labels_of(groups), groups, strict=True):
        seeds = f"{len(group.runs)} ({', '.join(map(str, group.seeds))})"
        means = [results.mean_text(mean, name) if (mean := group.mean(subject, name)) else "–" for name in metrics]
        rows.append([label, *(_shown_key(group, key) for key in keys), seeds, *means])
    return head, rows


def _shown_key(group: Group, key: str) -> str:
    value = group.keys.get(key)
    return "–" if value is None else str(grouping.cell(value))


# ---------------------------------------------------------------------------------------------------- difference of two


def _difference(groups: Sequence[Group], subject: str, metrics: Sequence[str]) -> None:
    st.subheader("Difference of two recipes", anchor=False)
    labels = grouping.labels_of(groups)
    left, right = st.columns(2, gap="medium")
    first = left.selectbox("First", range(len(groups)), format_func=lambda number: labels[number], key="recipes.first")
    alike = (number for number, group in enumerate(groups) if number != first and group.keys.get("kind") == groups[first].keys.get("kind"))
    second = right.selectbox("Second", range(len(groups)), index=next(alike, int(first == 0)), format_func=lambda number: labels[number],
                             key="recipes.second")
    if first == second:
        st.caption(":material/info: Choose two different recipes.")
        return
    one, other = groups[first], groups[second]
    head, rows = difference_table(one, other, subject, metrics)
    if rows:
        views.text_table(head, rows, label=f"{labels[first]} minus {labels[second]}", first_width="12rem")
    else:
        st.caption(":material/info: No chosen metric was measured of both.")
    apart = [f"{key} ({_value(one, key)} and {_value(other, key)})" for key in grouping.differing_keys([one, other])]
    more = f", and {len(apart) - MOST_KEYS} more keys" if len(apart) > MOST_KEYS else ""
    st.caption(f"They differ in {views.plain(', '.join(apart[:MOST_KEYS]) or 'nothing')}{more}.")


def _value(group: Group, key: str) -> str:
    text = str(grouping.cell(group.keys.get(key)))
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]} …"


def difference_table(one: Group, other: Group, subject: str, metrics: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Return head and rows: each metric of both recipes, their difference, its interval and what it says."""
    rows = []
    for name in metrics:
        found = grouping.difference(one, other, subject, name)
        if found is None:
            continue
        estimate, how = found
        means = [results.mean_text(mean, name) if (mean := group.mean(subject, name)) else "–" for group in (one, other)]
        kind = f"{estimate.interval_words}; {how}" if estimate.method else f"one seed, no interval; {how}"
        rows.append([METRICS[f"eval/{name}"].label.capitalize(), *means, results.mean_text(estimate, name, signed=True),
                     verdict(estimate, name), kind])
    return ["Metric", "First", "Second", "First minus second", "The first is", "Interval"], rows


def verdict(estimate: Estimate, name: str) -> str:
    """Return whether a difference says which recipe is better."""
    if estimate.low is None or estimate.high is None:
        return "not known: too few seeds"
    if estimate.low <= 0 <= estimate.high:
        return "not distinguishable"
    better = metric(f"eval/{name}").better
    if better == "none":
        return "higher" if estimate.value > 0 else "lower"
    return "better" if (estimate.value < 0) == (better == "lower") else "worse"


# ---------------------------------------------------------------------------------------------------- bundle


def count_of_seeds(group: Group) -> str:
    """Return how many seeds a recipe was run with, in words."""
    return f"{len(group.runs)} seed{'s' if len(group.runs) > 1 else ''}"


def _bundle(groups: Sequence[Group]) -> None:
    st.subheader("Reproduce elsewhere", anchor=False)
    labels = grouping.labels_of(groups)
    number = st.selectbox("Recipe", range(len(groups)), format_func=lambda each: f"{labels[each]}, {count_of_seeds(groups[each])}",
                          key="recipes.bundled")
    whole = st.toggle("Include the data and local models", key="recipes.data",
                      help="Without them the bundle names the files by their SHA-256, and whoever reproduces it brings them.")
    group = groups[number]
    store = state.store()
    download("Bundle (zip)", lambda: bundles.bundle(group.runs, store, whole=whole), file_name=f"{group.name}-bundle.zip",
             mime="application/zip", key="recipes.bundle")
    st.caption("Recipes, hashes of data and models, versions, what was measured, and a script that runs all of it in any folder and "
               "compares: `python reproduce.py`.")
