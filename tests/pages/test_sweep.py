"""The page Sweep: its form, the results of one, the bin; the ways to it from a run, from New experiment and from the list of runs."""

from __future__ import annotations

import io

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from core.evaluation.statistics import mean_interval
from core.recipes import read_recipe
from core.studies.sweeps.axes import parse_axes
from core.studies.sweeps.cells import Search, SweepSpec, seeds_from
from tests.pages import examples
from tests.pages.conftest import QUICKSTART, Open, answered, button, fault_free, texts
from tests.workbench.runs.test_sweeps import finish
from workbench.runs import sweeps
from workbench.screens.shared import background
from workbench.screens.sweep import figures, sweep_view
from workbench.store import Store
from workbench.store.sweeps import Sweep


def started(store: Store, teacher: str, *axes: str, seeds: int = 2, search: Search = "grid", budget: int | None = None,
            skip: bool = False, name: str = "swept") -> Sweep:
    config = read_recipe(QUICKSTART, [f"teacher.model={teacher}", "student.layers=2", "train.device=cpu"])
    spec = SweepSpec(config, parse_axes(axes), seeds_from(42, seeds), search, budget)
    return sweeps.start_sweep(sweeps.plan_sweep(spec, store, skip_invalid=skip), store, name=name, command="python -m workbench sweep")


def measured(store: Store, sweep: Sweep) -> dict[tuple[int, int], float]:
    """Finish all runs; returns (cell, seed) -> perplexity."""
    values = {}
    for each in store.sweep_runs(sweep.id):
        values[each.cell, each.run.seed] = 20 + 3 * each.cell + 0.1 * (each.run.seed - 42) * (1 + 0.2 * each.cell)
        finish(store, each.run, perplexity=values[each.cell, each.run.seed], agreement=0.5 + 0.01 * each.cell)
    return values


def filled(page: AppTest, key: str, text: str) -> AppTest:
    return fault_free(page.text_input(key=f"sweep.values.{key}").set_value(text).run())


# ------------------------------------------------------------------------------------------------ form


def test_a_sweep_for_a_cluster_shows_its_settings(open_page: Open, store: Store) -> None:
    page = fault_free(open_page("sweep").button_group(key="launch.place").set_value("SLURM cluster").run())
    assert page.code[-1].value.endswith("--launcher slurm")
    page = page.number_input(key="launch.minutes").set_value(1).run()
    assert button(page, "Start").disabled and not store.runs()
    page = fault_free(page.number_input(key="launch.minutes").set_value(30).run())
    button(page, "Start").click().run()
    assert {run.launch["minutes"] for run in store.runs()} == {30}


def test_a_sweep_is_planned_and_started_from_the_form(open_page: Open, store: Store) -> None:
    page = open_page("sweep")
    assert {each.label: each.value for each in page.metric} | {"Disk": ""} == {"Settings": "3", "Runs": "9", "Time": "–", "Disk": ""}
    assert "No sweep yet" in texts(page)
    page = fault_free(page.multiselect(key="sweep.keys").set_value(["losses.temperature", "student.layers"]).run())
    assert "Enter the values of student.layers" in texts(page).replace("\\", "")
    page = filled(filled(page, "losses.temperature", "1, 2"), "student.layers", "2,4")
    page = fault_free(page.number_input(key="sweep.seeds").set_value(2).run())
    assert next(each.value for each in page.metric if each.label == "Runs") == "8"
    assert page.code[-1].value == ("python -m workbench sweep assets/recipes/quickstart.yaml --grid losses.temperature=1,2 "
                                   "--grid student.layers=2,4 --seeds 2")
    button(page, "Start").click().run()
    (sweep,) = store.sweeps()
    assert (sweep.name, len(store.queue())) == ("quickstart-sweep", 8)


def test_a_value_out_of_range_is_named_and_may_be_left_out(open_page: Open, store: Store) -> None:
    page = filled(open_page("sweep"), "losses.temperature", "1, -1")
    assert "1 of 2 settings cannot be trained" in page.error[0].value
    assert "losses.temperature=-1" in page.error[0].value
    assert not [each for each in page.button if each.label == "Start"]
    page = fault_free(page.toggle(key="sweep.skip").set_value(True).run())
    assert "1 setting is left out" in page.warning[0].value
    button(page, "Start").click().run()
    assert store.sweeps()[0].left_out[0]["cell"] == "losses.temperature=-1"


def test_a_measured_setting_gives_the_time_of_all(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = {"ok": False, "message": "The text is too short.", "fix": "Bring more."}
    monkeypatch.setattr(background, "measured_plan", lambda question: answered({"seconds": 100.0, "checks": [failed]}))
    page = open_page("sweep")
    page = fault_free(button(page, "Measure on this machine").click().run())
    assert next(each.value for each in page.metric if each.label == "Time") == "16 min"  # 9 runs of 100 s, and their starts
    assert "The text is too short" in page.error[0].value


def test_random_search_draws_within_a_budget(open_page: Open) -> None:
    page = fault_free(open_page("sweep").button_group(key="sweep.search").set_value("Random search").run())
    page = filled(page, "losses.temperature", "1..8")
    page = fault_free(page.number_input(key="sweep.budget").set_value(4).run())
    assert next(each.value for each in page.metric if each.label == "Settings") == "4"
    assert "--random 4" in page.code[-1].value


# ------------------------------------------------------------------------------------------------ one sweep


def test_its_results_are_means_over_seeds_best_first(open_page: Open, store: Store, teacher: str) -> None:
    sweep = started(store, teacher, "losses.temperature=1,2", "student.layers=2,4")
    values = measured(store, sweep)
    page = open_page("sweep", sweep=sweep.id)
    said = texts(page)
    assert "8 of 8 runs finished" in said
    best = mean_interval([values[1, 42], values[1, 43]])
    assert (f"Best: losses.temperature = 1, student.layers = 2**, held-out perplexity {best.value:.4g} ± {best.margin:.2g}"
            in said.replace("\\", ""))
    assert "6 pairs were compared, each at 99.17%" in said
    cells = sweeps.scores_of(store.sweep_runs(sweep.id), {each.run.id: store.measurements(each.run.id)
                                                          for each in store.sweep_runs(sweep.id)}, "student_after")
    rows = pd.read_csv(io.StringIO(sweep_view.settings_csv(cells, sweep.keys, ["perplexity"])))
    for row in rows.itertuples():
        mean = mean_interval([values[row.setting, 42], values[row.setting, 43]])
        assert (row.mean, row.low, row.high, row.seeds) == pytest.approx((mean.value, mean.low, mean.high, 2))


@pytest.mark.parametrize(("axes", "search", "kinds"), [
    ((), "grid", None), (("losses.temperature=1,2,4",), "grid", {"scatter"}),
    (("losses.divergence=forward_kl,reverse_kl",), "grid", {"scatter"}),
    (("losses.temperature=1,2", "student.layers=2,4"), "grid", {"heatmap"}),
    (("losses.temperature=1..4", "train.learning_rate=1e-4..1e-2:log"), "random", {"parcoords"}),
    (("losses.temperature=1,2", "student.layers=2,4", "losses.divergence=forward_kl,reverse_kl"), "grid", {"parcoords"}),
])
def test_the_figure_suits_the_number_of_keys(open_page: Open, store: Store, teacher: str, axes: tuple[str, ...], search: Search,
                                             kinds: set[str] | None) -> None:
    sweep = started(store, teacher, *axes, seeds=1, search=search, budget=3 if search == "random" else None)
    values = measured(store, sweep)
    runs = store.sweep_runs(sweep.id)
    cells = sweeps.scores_of(runs, {each.run.id: store.measurements(each.run.id) for each in runs}, "student_after")
    drawn = figures.result_figure(cells, sweep.keys, "perplexity", listed=search == "grid")
    assert (None if drawn is None else {trace.type for trace in drawn.data}) == kinds
    if kinds == {"heatmap"}:
        assert drawn is not None
        assert [list(row) for row in drawn.data[0].z] == [[values[1, 42], values[3, 42]], [values[2, 42], values[4, 42]]]  # layers down
    open_page("sweep", sweep=sweep.id)


def test_the_band_is_the_interval_of_the_mean(store: Store, teacher: str) -> None:
    sweep = started(store, teacher, "losses.temperature=4,1", seeds=3)
    values = measured(store, sweep)
    runs = store.sweep_runs(sweep.id)
    cells = sweeps.scores_of(runs, {each.run.id: store.measurements(each.run.id) for each in runs}, "student_after")
    drawn = figures.line_with_band(cells, "losses.temperature", "perplexity")
    band, line, dots = drawn.data
    means = {cell: mean_interval([values[cell, seed] for seed in (42, 43, 44)]) for cell in (1, 2)}
    assert (list(line.x), list(line.y)) == ([1, 4], [means[2].value, means[1].value])
    assert list(band.x) == [1, 4, 4, 1]
    assert list(band.y) == [means[2].high, means[1].high, means[1].low, means[2].low]
    assert sorted(dots.y) == sorted(values.values())


def test_a_running_sweep_stops_resumes_and_retries(open_page: Open, store: Store, teacher: str) -> None:
    sweep = started(store, teacher, "losses.temperature=1,2", "student.layers=2,9", seeds=1, skip=True)
    first = store.sweep_runs(sweep.id)[0].run
    assert store.claim(first.id, "cpu")
    store.finish(first.id, "failed", "The loss became NaN.")
    page = open_page("sweep", sweep=sweep.id)
    assert "2 settings are left out" in texts(page)
    assert "1 run failed" in texts(page)
    assert "The loss became NaN" in texts(page)
    assert button(page, "Delete").disabled
    page = fault_free(button(page, "Stop all").click().run())
    assert {each.run.status for each in store.sweep_runs(sweep.id)} == {"failed", "stopped"}
    page = fault_free(button(page, "Retry the failed").click().run())
    assert [each.run.status for each in store.sweep_runs(sweep.id)] == ["queued", "stopped"]
    fault_free(button(page, "Resume").click().run())
    assert {each.run.status for each in store.sweep_runs(sweep.id)} == {"queued"}


def test_the_bin_takes_a_sweep_and_undo_gives_it_back(open_page: Open, store: Store, teacher: str) -> None:
    sweep = started(store, teacher, "losses.temperature=1,2", seeds=1)
    sweeps.stop_all(sweep, store)
    page = open_page("sweep", sweep=sweep.id)
    button(page, "Delete").click()
    page = fault_free(page.run())
    assert store.sweep(sweep.id).deleted is not None
    assert store.runs() == []
    page = open_page("sweep")
    assert "Bin (1)" in [each.label for each in page.expander]
    fault_free(button(page, "Restore").click().run())
    assert len(store.runs()) == 2


def test_an_unknown_sweep_is_an_error_and_no_fault(open_page: Open) -> None:
    assert "There is no sweep 'gone'" in texts(open_page("sweep", sweep="gone"))


# ------------------------------------------------------------------------------------------------ ways to it


def test_a_run_is_repeated_with_more_seeds_and_counts_itself(open_page: Open, store: Store, teacher: str) -> None:
    config = read_recipe(QUICKSTART, [f"teacher.model={teacher}", "student.layers=2", "train.device=cpu"])
    run = store.create_run(config)
    finish(store, run, perplexity=20.0)
    page = open_page("run", run=run.id)
    page.number_input(key=f"more.{run.id}").set_value(2)
    button(page, "Repeat with more seeds").click().run()
    (sweep,) = store.sweeps()
    assert [(each.run.seed, each.own) for each in store.sweep_runs(sweep.id)] == [(42, False), (43, True), (44, True)]
    member = store.sweep_runs(sweep.id)[1].run
    assert store.sweeps_of_runs(member.id)[member.id].id == sweep.id


def test_a_runs_recipe_is_the_start_of_a_sweep(open_page: Open, store: Store, teacher: str) -> None:
    config = read_recipe(QUICKSTART, [f"teacher.model={teacher}", "student.layers=3", "train.device=cpu"])
    run = store.create_run(config)
    page = open_page("sweep", **{"from": run.id})
    assert page.selectbox[0].value == f"run {run.name}"
    button(page, "Start").click().run()
    assert {each.config.student.layers for each in store.queue() if each.id != run.id} == {3}


def test_new_experiment_takes_a_number_of_seeds(form: AppTest, store: Store) -> None:
    form.number_input(key="start.seeds").set_value(3)
    button(form, "Start").click().run()
    (sweep,) = store.sweeps()
    assert [run.seed for run in store.queue()] == [42, 43, 44]
    assert sweep.keys == []


def test_runs_of_a_sweep_stand_behind_its_line(open_page: Open, store: Store, teacher: str) -> None:
    sweep = started(store, teacher, "losses.temperature=1,2", seeds=1)
    examples.finished(store, "alone")
    page = open_page("runs")
    assert [list(each.value["name"]) for each in page.dataframe] == [["alone"]]
    assert "0 of 2 runs finished" in texts(page)
    page = fault_free(page.toggle(key="grouped").set_value(False).run())
    table = page.dataframe[0].value
    assert dict(zip(table["name"], table["sweep"].fillna(""), strict=True)) == {
        "swept-2-s42": sweep.name, "swept-1-s42": sweep.name, "alone": ""}
