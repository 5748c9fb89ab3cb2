"""Numbers and events of runs: in order, incrementally, once, and at a cost that does not grow with what is not read."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable

import pytest

from core.recipes import parse_recipe
from workbench.store import Store
from workbench.store.database import Database
from workbench.store.records import Run


@pytest.fixture
def store() -> Store:
    return Store()


def make(store: Store, name: str = "walk", **recipe: object) -> Run:
    return store.create_run(parse_recipe({"name": name, **recipe}))


def test_metrics_come_back_in_order_and_incrementally(store: Store):
    run = make(store)
    store.log_metrics(run.id, [("student", step, name, step + 0.5) for step in (1, 2) for name in ("loss", "raw/kd")])
    first = store.metrics(run.id)
    assert list(first.columns) == ["rowid", "arm", "step", "name", "value"]
    assert first.step.tolist() == [1, 1, 2, 2]
    store.log_metrics(run.id, [("control", 1, "loss", 9.0), ("student", 3, "loss", 3.5)])
    after = int(first.rowid.max())
    assert store.metrics(run.id, after_rowid=after).value.tolist() == [9.0, 3.5]
    assert store.metrics(run.id, "student", ["loss"], after_step=1).value.tolist() == [2.5, 3.5]
    assert store.metrics("nobody").empty


def test_a_replayed_value_replaces_the_earlier_one_and_is_seen_by_a_poll(store: Store):
    run = make(store)
    store.log_metrics(run.id, [("student", step, "loss", 1.0) for step in (1, 2, 3)])
    seen = int(store.metrics(run.id).rowid.max())
    store.log_metrics(run.id, [("student", 2, "loss", 7.0)])
    assert store.metrics(run.id, after_rowid=seen)[["step", "value"]].values.tolist() == [[2.0, 7.0]]
    assert sorted(store.metrics(run.id).value) == [1.0, 1.0, 7.0]


def test_row_numbers_are_not_given_twice(store: Store):
    kept, gone = make(store), make(store)
    store.log_metrics(gone.id, [("student", 1, "loss", 1.0)])
    seen = int(store.metrics(gone.id).rowid.max())
    store.purge(store.delete(gone.id).id)
    store.log_metrics(kept.id, [("student", 1, "loss", 2.0)])
    assert len(store.metrics(kept.id, after_rowid=seen)) == 1, "a page that polls would miss it"


def test_numbers_that_are_not_finite_survive(store: Store):
    run = make(store)
    store.log_metrics(run.id, [("student", 1, "loss", math.nan), ("student", 2, "loss", math.inf)])
    first, second = store.metrics(run.id).value
    assert math.isnan(first)
    assert second == math.inf
    assert math.isnan(store.metric_series_tail(run.id, "loss")[0][1])


def test_tail_and_latest(store: Store):
    run = make(store)
    store.log_metrics(run.id, [("student", step, "loss", float(step)) for step in range(10)] + [("control", 4, "loss", -1.0)])
    assert store.metric_series_tail(run.id, "loss", limit=3) == [(7, 7.0), (8, 8.0), (9, 9.0)]
    assert store.latest_metrics(run.id) == {"student": {"loss": 9.0}, "control": {"loss": -1.0}}


def test_latest_is_the_last_step_and_not_the_last_word(store: Store):
    run = make(store)
    store.log_metrics(run.id, [("student", 5, "loss", 5.0), ("student", 4, "loss", 4.0)])
    store.log_metrics(run.id, [("student", 3, "loss", 3.0)])
    assert store.latest_metrics(run.id) == {"student": {"loss": 5.0}}
    store.log_metrics(run.id, [("student", 5, "loss", 5.5)])
    assert store.latest_metrics(run.id) == {"student": {"loss": 5.5}}, "a resumed run logs a step again"
    store.purge(store.delete(run.id).id)
    assert store.latest_metrics(run.id) == {}


def test_events_are_read_on_from_the_last_one(store: Store):
    run = make(store)
    store.log_events(run.id, [("phase", {"name": "train"}, 1.0), ("warning", {"message": "hm"}, 2.0)])
    phase, warning = store.events(run.id)
    assert (phase.kind, phase.payload, phase.time) == ("phase", {"name": "train"}, 1.0)
    assert store.events(run.id, after=phase.seq) == [warning]
    assert store.events(run.id, kind="warning") == [warning]
    assert store.report(run.id) is None
    store.log_events(run.id, [("report", {"seconds": 3}, 3.0)])
    assert store.report(run.id).seconds == 3


def test_replayed_samples_replace_only_their_own(store: Store):
    run = make(store)

    def sample(prompt: str, answer: str, when: float) -> tuple[str, dict[str, object], float]:
        return "samples", {"arm": "student", "step": 10, "prompt": prompt, "answer": answer}, when

    store.log_events(run.id, [sample("a", "first", 1.0), sample("b", "first", 2.0), ("phase", {"name": "train"}, 3.0)])
    store.log_events(run.id, [sample("a", "second", 4.0), ("phase", {"name": "train"}, 3.0), ("phase", {"name": "train"}, 5.0)])
    answers = {event.payload["prompt"]: event.payload["answer"] for event in store.events(run.id, kind="samples")}
    assert answers == {"a": "second", "b": "first"}
    assert [event.time for event in store.events(run.id, kind="phase")] == [3.0, 5.0], "the same moment is the same event"


def test_events_of_one_tick_of_the_clock_are_all_kept(store: Store):
    run = make(store)
    rows = [("samples", {"arm": "student", "step": 10, "prompt": prompt, "answer": "!"}, 1.0) for prompt in "ab"]
    rows += [("evaluation", {"who": who, "metrics": {"perplexity": 2.5}}, 1.0) for who in ("teacher", "student_before")]
    for _ in range(2):  # the second time as from the journal of a worker that was killed
        store.log_events(run.id, rows)
        assert [event.payload for event in store.events(run.id)] == [payload for _, payload, _ in rows]


def virtual_machine_steps(store: Store, read: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> int:
    """Hundreds of instructions that SQLite carries out for what `read` asks: its cost on any machine."""
    connect, hundreds = Database._connect, []

    def counted(database: Database) -> sqlite3.Connection:
        connection = connect(database)
        connection.set_progress_handler(lambda: hundreds.append(1), 100)
        return connection

    with monkeypatch.context() as patch:
        patch.setattr(Database, "_connect", counted)
        read()
    return len(hundreds)


def test_what_is_read_costs_no_more_for_what_is_not(store: Store, monkeypatch: pytest.MonkeyPatch):
    """New points, and the last value of each curve, are found without going through those that were logged before."""
    run, costs = make(store), []
    for steps in (range(100), range(100, 10_000)):
        store.log_metrics(run.id, [("student", step, name, 0.5) for step in steps for name in ("loss", "raw/kd", "raw/hard")])
        last = int(store.metrics(run.id).rowid.max())
        store.log_metrics(run.id, [("student", 20_000 + steps[0], "loss", 0.5)])

        def read(last: int = last) -> None:
            assert store.last_rowid() == last + 1
            assert len(store.metrics(run.id, after_rowid=last)) == 1
            assert len(store.latest_metrics(run.id)["student"]) == 3

        costs.append(virtual_machine_steps(store, read, monkeypatch))
    assert len(store.metrics(run.id, "student", ["loss"])) == 10_002
    few, many = costs
    assert many <= few + 2


def test_the_last_event_is_that_of_the_run(store: Store):
    run, other = make(store), make(store)
    assert store.last_event(run.id) == 0
    store.log_events(run.id, [("phase", {"name": "train"}, 1.0), ("phase", {"name": "steps"}, 2.0)])
    store.log_events(other.id, [("phase", {"name": "train"}, 3.0)])
    assert store.last_event(run.id) == store.events(run.id)[-1].seq
