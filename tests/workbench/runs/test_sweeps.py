"""Sweeps over the queue: what is checked before anything is queued, what is queued, and what becomes of it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from core.config import ExperimentConfig
from core.errors import ConfigError, DiskFullError
from core.events import STUDENT_AFTER, Evaluation
from core.recipes import parse_recipe
from core.studies.sweeps.axes import parse_axes
from core.studies.sweeps.cells import SweepSpec, seeds_from
from core.studies.sweeps.ranking import rank
from tests.core.chat_models import save_chat_model
from workbench.errors import WrongStatusError
from workbench.launch.launcher import SlurmSpec
from workbench.processes import Process
from workbench.runs import jobs, sweeps
from workbench.runs.sweep_estimate import START_SECONDS, expected_time, seconds_left
from workbench.store import Store
from workbench.store.records import Progress, Run
from workbench.store.sweeps import Sweep


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_chat_model(tmp_path_factory.mktemp("models") / "tiny", layers=4))


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(jobs, "launch_next", lambda store: [])
    return Store()


def base(model: str, **changes: Any) -> ExperimentConfig:
    return parse_recipe({"name": "walk", "teacher": {"model": model}, "student": {"layers": 2},
                         "data": {"block_length": 16}, "train": {"max_steps": 10, "device": "cpu"}} | changes)


def spec(config: ExperimentConfig, *axes: str, seeds: int = 2) -> SweepSpec:
    return SweepSpec(config, parse_axes(axes), seeds_from(config.train.seed, seeds))


def started(store: Store, config: ExperimentConfig, *axes: str, seeds: int = 2, **options: Any) -> Sweep:
    return sweeps.start_sweep(sweeps.plan_sweep(spec(config, *axes, seeds=seeds), store), store, **options)


def finish(store: Store, run: Run, seconds: float = 5.0, **metrics: float) -> None:
    """End a queued run as a worker would have, with what it measured."""
    assert store.claim(run.id, "cpu")
    assert store.mark_running(run.id, Process.current())
    store.log_events(run.id, [(Evaluation.kind, Evaluation.of(STUDENT_AFTER, metrics).to_dict(), time.time())])
    assert store.finish(run.id, "finished")
    with store._database.write() as connection:
        connection.execute("UPDATE runs SET started = 1000, finished = 1000 + ? WHERE id = ?", (seconds, run.id))


def states(store: Store, sweep: Sweep) -> list[str]:
    return [each.run.status for each in store.sweep_runs(sweep.id)]


def test_every_setting_is_queued_with_every_seed_seed_by_seed(store: Store, teacher: str) -> None:
    sweep = started(store, base(teacher), "losses.temperature=1,2", "student.layers=1,3", seeds=2)
    queued = [(run.seed, run.config.losses.temperature, run.config.student.layers) for run in store.queue()]
    assert queued == [(seed, t, n) for seed in (42, 43) for t in (1, 2) for n in (1, 3)]
    assert [run.name for run in store.queue()][:4] == [f"walk-sweep-{number}-s42" for number in (1, 2, 3, 4)]
    assert {each.cell: each.chosen for each in store.sweep_runs(sweep.id)}[4] == {"losses.temperature": "2", "student.layers": "3"}
    assert sweep.name == "walk-sweep"


def test_the_runs_may_be_jobs_of_a_cluster_and_are_repeated_there(store: Store, teacher: str) -> None:
    place = SlurmSpec(partition="gpu")
    planned = sweeps.plan_sweep(spec(base(teacher), "losses.temperature=1,2", seeds=1), store, place=place)
    sweep = sweeps.start_sweep(planned, store)
    assert [each.run.launch["partition"] for each in store.sweep_runs(sweep.id)] == ["gpu", "gpu"]
    again = sweeps.repeat(store.sweep_runs(sweep.id)[0].run, 2, store)
    assert {each.run.launch["partition"] for each in store.sweep_runs(again.id)} == {"gpu"}


@pytest.mark.parametrize(("axes", "said"), [
    (["losses.temprature=1,2"], "Unknown key 'losses.temprature'"),
    (["losses.temperature=1,-1"], r"1 of 2 settings cannot be trained. losses.temperature=-1: .*above 0"),
    (["student.layers=2,9"], r"1 of 2 settings cannot be trained. student.layers=9: .*4 blocks"),  # known from the teacher's header
])
def test_none_is_queued_where_one_setting_cannot_be_trained(store: Store, teacher: str, axes: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        sweeps.plan_sweep(spec(base(teacher), *axes), store)
    assert (store.runs(), store.sweeps()) == ([], [])


def test_the_others_are_queued_where_that_was_chosen(store: Store, teacher: str) -> None:
    planned = sweeps.plan_sweep(spec(base(teacher), "losses.temperature=1,-1", "student.layers=2,9"), store, skip_invalid=True)
    assert [cell.label for cell in planned.cells] == ["losses.temperature=1, student.layers=2"]
    assert planned.runs == 2
    sweep = sweeps.start_sweep(planned, store)
    assert [each["cell"] for each in sweep.left_out] == [cell.label for cell in planned.all_cells[1:]]
    assert "9 blocks" in sweep.left_out[0]["given"]
    with pytest.raises(ConfigError, match="2 of 2"):
        sweeps.plan_sweep(spec(base(teacher), "student.layers=8,9"), store, skip_invalid=True)


def test_runs_that_fit_one_by_one_and_not_together_are_refused(store: Store, teacher: str, monkeypatch: pytest.MonkeyPatch) -> None:
    room = sweeps.plan_sweep(spec(base(teacher), seeds=1), store).disk_bytes
    free = type("Usage", (), {"free": 3 * room})
    monkeypatch.setattr("shutil.disk_usage", lambda _: free)
    sweeps.plan_sweep(spec(base(teacher), seeds=1), store)
    with pytest.raises(DiskFullError):
        sweeps.plan_sweep(spec(base(teacher), seeds=500), store)


def waits_for(store: Store) -> list[str | None]:
    """The name of the run that each queued one waits for, in the queue's order."""
    names = {run.id: run.name for run in store.runs()}
    with store._database.read() as connection:
        return [names.get(row["after"]) for row in connection.execute("SELECT after FROM runs ORDER BY queued, id")]


def test_answers_of_a_teacher_are_queried_by_one_run_for_all(store: Store, teacher: str) -> None:
    kept = base(teacher, teacher={"model": teacher, "signals": {"form": "hidden"}})
    started(store, kept, "losses.temperature=1,2", seeds=2)
    assert waits_for(store) == [None, "walk-sweep-1-s42", None, "walk-sweep-1-s43"], "each seed cuts the text into blocks of its own"


@pytest.mark.parametrize("form", ["live", "top_k", "sampled"])
def test_live_teachers_and_tokens_at_other_temperatures_share_nothing(store: Store, teacher: str, form: str) -> None:
    started(store, base(teacher, teacher={"model": teacher, "signals": {"form": form}}), "losses.temperature=1,2", seeds=1)
    assert waits_for(store) == [None, None]


def test_a_teacher_at_an_address_is_queried_by_one_run_for_all(store: Store, teacher: str) -> None:
    served = base(teacher, teacher={"model": "http://127.0.0.1:9#large"}, student={"model": teacher}, evaluation={"sentiment_items": 0})
    started(store, served, "train.learning_rate=1e-4,1e-3", seeds=1)
    assert waits_for(store) == [None, "walk-sweep-1-s42"], "its likeliest tokens are kept, whatever the recipe says"


def test_all_runs_stop_resume_and_the_failed_are_retried(store: Store, teacher: str) -> None:
    sweep = started(store, base(teacher), "losses.temperature=1,2", seeds=2)
    first, second, *_ = (each.run for each in store.sweep_runs(sweep.id))
    finish(store, first, perplexity=4.0)
    assert store.claim(second.id, "cpu")
    assert store.finish(second.id, "failed")
    assert sweeps.progress_of(store.sweep_runs(sweep.id)).status == "running"
    assert sweeps.stop_all(sweep, store) == 2
    assert states(store, sweep) == ["finished", "failed", "stopped", "stopped"]
    progress = sweeps.progress_of(store.sweep_runs(sweep.id))
    assert (progress.status, progress.share, progress.text) == ("failed", 0.25, "1 of 4 runs finished, 1 failed, 2 stopped")
    assert sweeps.retry_failed(sweep, store) == 1
    assert states(store, sweep) == ["finished", "queued", "stopped", "stopped"]
    assert sweeps.resume(sweep, store) == 2
    assert states(store, sweep) == ["finished", "queued", "queued", "queued"]
    with pytest.raises(WrongStatusError, match="No run of the sweep 'walk-sweep' is failed or lost"):
        sweeps.retry_failed(sweep, store)


def test_a_repetition_takes_in_the_run_that_is_there(store: Store, teacher: str) -> None:
    run = jobs.submit(base(teacher), store)
    finish(store, run, perplexity=4.0)
    planned = sweeps.plan_sweep(SweepSpec(base(teacher), (), (43, 44)), store)
    sweep = sweeps.start_sweep(planned, store, name="walk-seeds", adopted=[run])
    assert [(each.run.name, each.own) for each in store.sweep_runs(sweep.id)] == [
        ("walk", False), ("walk-seeds-s43", True), ("walk-seeds-s44", True)]
    for each in store.sweep_runs(sweep.id)[1:]:
        finish(store, each.run, perplexity=5.0)
    (cell,) = scores(store, sweep)
    assert cell.scores("perplexity") == {42: 4.0, 43: 5.0, 44: 5.0}
    store.delete_sweep(sweep.id)
    assert [each.name for each in store.runs()] == ["walk"], "the run that was there before stays"
    sweeps.purge(store.sweep(sweep.id), store)
    assert store.sweeps(include_deleted=True) == []
    assert [path.name for path in store.runs_dir.iterdir()] == [run.id]


def test_a_sweep_is_purged_from_the_bin_alone(store: Store, teacher: str) -> None:
    with pytest.raises(WrongStatusError, match="not in the bin"):
        sweeps.purge(started(store, base(teacher)), store)


def scores(store: Store, sweep: Sweep) -> list[Any]:
    runs = store.sweep_runs(sweep.id)
    return sweeps.scores_of(runs, {each.run.id: store.measurements(each.run.id) for each in runs}, STUDENT_AFTER)


def test_results_are_those_of_the_finished_runs(store: Store, teacher: str) -> None:
    sweep = started(store, base(teacher), "losses.temperature=1,2", seeds=2)
    values = {(1, 42): 4.0, (1, 43): 4.2, (2, 42): 3.0}
    for each in store.sweep_runs(sweep.id):
        if (each.cell, each.run.seed) in values:
            finish(store, each.run, perplexity=values[each.cell, each.run.seed])
    cells = scores(store, sweep)
    assert [(cell.number, cell.runs, cell.scores("perplexity")) for cell in cells] == [
        (1, 2, {42: 4.0, 43: 4.2}), (2, 2, {42: 3.0})]
    best = rank(cells, "perplexity").best
    assert best is not None
    assert best.values == {"losses.temperature": "2"}


def test_a_run_that_has_not_finished_gives_no_value(store: Store, teacher: str) -> None:
    sweep = started(store, base(teacher), seeds=1)
    (member,) = store.sweep_runs(sweep.id)
    store.log_events(member.run.id, [(Evaluation.kind, Evaluation.of(STUDENT_AFTER, {"perplexity": 4.0}).to_dict(), time.time())])
    store.request_stop(member.run.id)
    assert scores(store, sweep)[0].measured == {}


# ------------------------------------------------------------------------------------------------ time


def test_the_time_is_unknown_before_anything_ran_or_was_measured(store: Store, teacher: str) -> None:
    planned = sweeps.plan_sweep(spec(base(teacher), "student.layers=1,4"), store)
    assert expected_time(planned, store).seconds is None
    assert expected_time(planned, store).source == ""


def test_one_measured_setting_says_how_long_all_take_by_their_work(store: Store, teacher: str) -> None:
    planned = sweeps.plan_sweep(spec(base(teacher), "train.max_steps=10,30", seeds=3), store)
    found = expected_time(planned, store, measured=100.0)
    assert found.source == "measured"
    assert found.seconds == pytest.approx(3 * (100 + 300 + 2 * START_SECONDS))
    assert (found.at_once, found.ahead) == (1, 0)


def test_an_earlier_run_of_the_recipe_says_it_without_a_measurement(store: Store, teacher: str) -> None:
    other = jobs.submit(base(teacher, losses={"w_kd": 0.7}), store)
    finish(store, other, 7.0)
    planned = sweeps.plan_sweep(spec(base(teacher), "train.max_steps=10,30"), store)
    assert expected_time(planned, store).seconds is None, "another recipe's run says nothing"
    run = jobs.submit(base(teacher, train={"max_steps": 20, "seed": 7, "device": "cpu"}), store)
    finish(store, run, 50.0)
    jobs.submit(base(teacher), store)
    found = expected_time(planned, store)
    assert found.source == "earlier run"
    assert found.seconds == pytest.approx(2 * (25 + 75))
    assert found.ahead == 1


def test_a_run_over_which_the_clock_was_set_back_says_nothing_of_time(store: Store, teacher: str) -> None:
    sweep = started(store, base(teacher), "losses.temperature=1,2", seeds=2)
    first, second, *_ = (each.run for each in store.sweep_runs(sweep.id))
    finish(store, first, -3600.0)
    assert store.run(first.id).seconds is None and seconds_left(store.sweep_runs(sweep.id)) is None
    finish(store, second, 10.0)
    assert seconds_left(store.sweep_runs(sweep.id)) == pytest.approx(20.0)


def test_what_is_left_follows_the_runs_that_have_finished(store: Store, teacher: str) -> None:
    sweep = started(store, base(teacher), "losses.temperature=1,2", seeds=2)
    assert seconds_left(store.sweep_runs(sweep.id)) is None
    first, second, *_ = (each.run for each in store.sweep_runs(sweep.id))
    finish(store, first, 10.0)
    assert seconds_left(store.sweep_runs(sweep.id)) == pytest.approx(30.0)
    assert store.claim(second.id, "cpu")
    assert store.mark_running(second.id, Process.current())
    store.record(second.id, Process.current(), [], [], Progress("steps", "student", 5, 10, share=0.5, seconds_left=5.0))
    assert seconds_left(store.sweep_runs(sweep.id)) == pytest.approx(25.0)
    assert sweeps.progress_of(store.sweep_runs(sweep.id)).share == pytest.approx(1.5 / 4)
