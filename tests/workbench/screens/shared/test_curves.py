"""The curves of runs: what is read of them, how it is joined, and that it is read once for all who look."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest

from core.config import DistillConfig
from workbench.screens.shared.curves import Curves
from workbench.screens.shared.run_cache import RunCache
from workbench.store import Store
from workbench.store.records import Run


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def run(store: Store) -> Run:
    return store.create_run(DistillConfig())


def log(store: Store, run: Run, steps: range, value: float, variant: str = "student") -> None:
    store.log_metrics(run.id, [(variant, step, "loss", value) for step in steps])


def curve(curves: Curves, store: Store, run: Run, variant: str = "student") -> dict[int, float]:
    table = curves.fetch(store, run.id)
    chosen = table[table["arm"] == variant]
    return dict(zip(chosen["step"], chosen["value"], strict=True))


def test_only_new_rows_are_read(store: Store, run: Run, monkeypatch: pytest.MonkeyPatch):
    curves, reads = Curves(), counted_reads(store, monkeypatch)
    assert curve(curves, store, run) == {}
    log(store, run, range(1, 101), 1.0)
    curve(curves, store, run)
    log(store, run, range(101, 104), 2.0)
    assert curve(curves, store, run) == dict.fromkeys(range(1, 101), 1.0) | {101: 2.0, 102: 2.0, 103: 2.0}
    assert [len(each) for each in reads if len(each)] == [100, 3]


def test_steps_repeated_after_a_resume_replace_the_old_ones(store: Store, run: Run):
    curves = Curves()
    log(store, run, range(1, 8), 1.0)
    curve(curves, store, run)
    log(store, run, range(5, 7), 2.0)
    expected = {1: 1.0, 2: 1.0, 3: 1.0, 4: 1.0, 5: 2.0, 6: 2.0, 7: 1.0}
    assert list(curve(curves, store, run).items()) == list(expected.items())
    assert list(curve(Curves(), store, run).items()) == list(expected.items())  # a page opened later sees the same


def test_a_control_that_begins_later_leaves_the_student_alone(store: Store, run: Run):
    curves = Curves()
    log(store, run, range(1, 6), 1.0)
    curve(curves, store, run)
    log(store, run, range(1, 3), 3.0, variant="control")
    assert len(curve(curves, store, run)) == 5
    assert curve(curves, store, run, "control") == {1: 3.0, 2: 3.0}


def test_a_store_without_new_numbers_is_not_read_again(store: Store, run: Run, monkeypatch: pytest.MonkeyPatch):
    curves, reads = Curves(), counted_reads(store, monkeypatch)
    log(store, run, range(1, 4), 1.0)
    first = curves.fetch(store, run.id)
    assert curves.fetch(store, run.id) is first
    assert len(reads) == 1


def test_rows_of_other_runs_change_nothing(store: Store, run: Run):
    curves, other = Curves(), store.create_run(DistillConfig())
    log(store, run, range(1, 4), 1.0)
    before = curves.fetch(store, run.id)
    log(store, other, range(1, 4), 7.0)
    assert curves.fetch(store, run.id) is before
    log(store, run, range(4, 6), 2.0)
    assert curve(curves, store, run) == {1: 1.0, 2: 1.0, 3: 1.0, 4: 2.0, 5: 2.0}


def test_each_metric_has_a_revision_of_its_own(store: Store, run: Run):
    curves = Curves()
    store.log_metrics(run.id, [("student", 1, "loss", 3.0), ("student", 1, "learning_rate", 0.1)])
    curves.fetch(store, run.id)
    before = dict(curves.revisions)
    store.log_metrics(run.id, [("student", 2, "loss", 2.0)])
    table = curves.fetch(store, run.id)
    assert curves.revisions["learning_rate"] == before["learning_rate"]
    assert curves.revisions["loss"] == table["rowid"].max() > before["loss"]


def test_each_curve_is_what_the_table_says_of_it_however_it_came(store: Store, run: Run):
    curves = Curves()
    batches = ([("student", 1, "loss", 3.0), ("student", 1, "learning_rate", 0.1)],
               [("student", 2, "loss", 2.0), ("control", 1, "loss", 4.0)],
               [("student", 2, "loss", 1.5), ("student", 3, "loss", math.nan)],  # a step that comes again after a resume
               [("student", 4, "loss", 1.0)])
    for batch in batches:
        store.log_metrics(run.id, batch)
        table, _, lines = curves.look(store, run.id)
        expected = {key: (rows["step"].tolist(), rows["value"].tolist()) for key, rows in table.groupby(["arm", "name"], observed=True)}
        assert lines.keys() == expected.keys()
        for key, (steps, values) in expected.items():
            assert np.array_equal(lines[key].steps, steps) and np.array_equal(lines[key].values, values, equal_nan=True)
    assert lines["student", "loss"].steps.tolist() == [1, 2, 3, 4]
    assert lines["student", "loss"].values.tolist()[:2] == [3.0, 1.5]


def test_thirty_who_look_at_once_read_each_number_once(store: Store, run: Run, monkeypatch: pytest.MonkeyPatch):
    cache, reads = RunCache(Curves, kept=2), counted_reads(store, monkeypatch)
    for steps in (range(1, 101), range(101, 103)):
        log(store, run, steps, 1.0)
        together, tables = threading.Barrier(30), []

        def look(together: threading.Barrier = together, tables: list = tables) -> None:
            together.wait()
            tables.append(cache.of(store, run.id).fetch(store, run.id))

        threads = [threading.Thread(target=look) for _ in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {len(table) for table in tables} == {steps[-1]}
    assert [len(each) for each in reads] == [100, 2]


def test_it_keeps_the_runs_that_were_looked_at_last(store: Store, monkeypatch: pytest.MonkeyPatch):
    cache, runs = RunCache(Curves, kept=2), [store.create_run(DistillConfig()) for _ in range(3)]
    for run in runs:
        log(store, run, range(1, 3), 1.0)
    first, second, third = (run.id for run in runs)
    for run_id in (first, second, first, third):
        cache.of(store, run_id).fetch(store, run_id)
    reads = counted_reads(store, monkeypatch)
    assert len(cache.of(store, first).fetch(store, first)) == 2
    assert not reads, "the first is still there"
    assert len(cache.of(store, second).fetch(store, second)) == 2
    assert [len(each) for each in reads] == [2], "the second had to go"


def counted_reads(store: Store, monkeypatch: pytest.MonkeyPatch) -> list:
    """What `store.metrics` gives from now on, call by call."""
    reads, read = [], store.metrics
    monkeypatch.setattr(store, "metrics", lambda run_id, **options: reads.append(read(run_id, **options)) or reads[-1])
    return reads
