"""Sweeps and their runs in the store: all or nothing, and in and out of the bin together."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from core.recipes import parse_recipe
from core.studies.sweeps.axes import parse_axes
from core.studies.sweeps.cells import SweepSpec
from workbench.errors import SweepNotFoundError, WrongStatusError
from workbench.store import Store
from workbench.store.records import NewRun
from workbench.store.sweeps import Sweep

SPEC = SweepSpec(parse_recipe({"name": "walk"}), parse_axes(["losses.temperature=1,2"]), (42,))


@pytest.fixture
def store() -> Store:
    return Store()


def new(name: str, after: int | None = None) -> NewRun:
    return NewRun(parse_recipe({"name": name, "train": {"device": "cpu"}}), after=after)


def made(store: Store, *runs: NewRun, name: str = "walk-sweep") -> Sweep:
    ids: list[str] = []

    def write(connection: sqlite3.Connection, run_ids: list[str]) -> None:
        rows = [(run_id, number, {"losses.temperature": str(number)}, True) for number, run_id in enumerate(run_ids, start=1)]
        ids.append(store.insert_sweep(connection, name, SPEC, [{"cell": "x"}], "python -m workbench sweep", rows))

    store.create_runs(runs, write)
    return store.sweep(ids[0])


def test_a_sweep_is_found_by_name_and_id_with_its_runs_in_order(store: Store) -> None:
    sweep = made(store, new("a"), new("b"))
    assert store.sweep("walk-sweep") == store.sweep(sweep.id) == store.sweeps()[0]
    assert sweep.spec == SPEC
    assert sweep.keys == ["losses.temperature"]
    assert sweep.left_out == [{"cell": "x"}]
    assert [(each.run.name, each.cell, each.chosen, each.own) for each in store.sweep_runs(sweep.id)] == [
        ("a", 1, {"losses.temperature": "1"}, True), ("b", 2, {"losses.temperature": "2"}, True)]
    assert {run: each.name for run, each in store.sweeps_of_runs().items()} == {
        each.run.id: "walk-sweep" for each in store.sweep_runs(sweep.id)}
    assert made(store, new("c")).name == "walk-sweep-2"
    with pytest.raises(SweepNotFoundError, match="Did you mean 'walk-sweep'"):
        store.sweep("walk-swep")


def test_what_fails_half_way_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise OSError("no space")

    with pytest.raises(RuntimeError, match="no sweep"):
        store.create_runs([new("a"), new("b")], lambda *_: (_ for _ in ()).throw(RuntimeError("no sweep")))
    assert (store.runs(), store.sweeps(), list(store.runs_dir.iterdir())) == ([], [], [])
    written, mkdir = [], Path.mkdir

    def second_fails(path: Path, *arguments: Any, **options: Any) -> None:
        written.append(path)
        fails() if len(written) == 2 else mkdir(path, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", second_fails)
    with pytest.raises(Exception, match="cannot be made"):
        made(store, new("a"), new("b"))
    assert (store.runs(), store.sweeps(), list(store.runs_dir.iterdir())) == ([], [], [])


def test_the_bin_takes_and_gives_back_a_sweep_as_it_was(store: Store) -> None:
    sweep = made(store, new("a"), new("b"), new("c"))
    with pytest.raises(WrongStatusError, match=r"3 runs of the sweep 'walk-sweep' wait or train\..*Stop all its runs first"):
        store.delete_sweep(sweep.name)
    for each in store.sweep_runs(sweep.id):
        store.request_stop(each.run.id)
    store.delete("a")  # by itself, before
    assert store.delete_sweep(sweep.name).deleted is not None
    assert (store.sweeps(), store.runs(), store.sweeps_of_runs()) == ([], [], {})
    assert [each.run.name for each in store.sweep_runs(sweep.id, include_deleted=True)] == ["a", "b", "c"]
    assert store.restore_sweep(sweep.name).deleted is None
    assert [run.name for run in store.runs()] == ["c", "b"], "what went to the bin alone stays there"
    with pytest.raises(WrongStatusError, match="not in the bin"):
        store.restore_sweep(sweep.name)


def test_a_run_waits_for_the_one_it_was_queued_after(store: Store) -> None:
    sweep = made(store, new("first"), new("second", after=0), new("third"))
    first, second, third = (each.run for each in store.sweep_runs(sweep.id))

    def claim() -> str | None:
        found = store.claim_next(lambda requested, busy, _: requested if len(busy) < 2 else f"{requested}:{len(busy)}", lambda device: [])
        return found.name if found else None

    assert [claim(), claim(), claim()] == ["first", "third", None]
    store.finish(first.id, "failed")
    assert claim() == "second", "it builds what is missing itself"
    assert {store.run(each.id).status for each in (second, third)} == {"starting"}
