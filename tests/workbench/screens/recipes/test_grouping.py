"""Runs as repetitions of a recipe."""

from __future__ import annotations

import io

import pandas as pd
import pytest

from core.evaluation.statistics import mean_interval
from tests.pages.examples import finished
from workbench.screens.recipes import grouping
from workbench.store import Store
from workbench.store.records import Run


@pytest.fixture
def store(home) -> Store:
    return Store()


def run(store: Store, name: str, seed: int, temperature: float = 4.0) -> Run:
    return finished(store, name, train={"max_steps": 400, "seed": seed}, losses={"temperature": temperature})


def measured(values: dict[str, float]) -> dict[str, dict[str, dict[str, float]]]:
    return {each: {"student_after": {"perplexity": value}} for each, value in values.items()}


def test_runs_that_differ_in_their_seed_and_name_are_one_recipe(store: Store) -> None:
    runs = [run(store, "soft-1", 1), run(store, "soft-2", 2), run(store, "sharp", 1, 1.0)]
    found = grouping.grouped(reversed(runs), measured({runs[0].id: 10.0, runs[1].id: 14.0, runs[2].id: 9.0}))
    assert [(group.name, group.seeds) for group in found] == [("soft", [1, 2]), ("sharp", [1])]
    assert found[0].mean("student_after", "perplexity") == mean_interval([10.0, 14.0]) and found[0].mean("control", "perplexity") is None
    assert grouping.differing_keys(found) == ["losses.temperature"]
    assert grouping.labels_of([found[0], found[0], found[1]]) == ["soft (1)", "soft (2)", "sharp"]


def test_a_seed_counts_once_and_unmeasured_runs_not_at_all(store: Store) -> None:
    older, newer, other = run(store, "a-1", 1), run(store, "a-2", 1), run(store, "a-3", 2)
    group, = grouping.grouped([other, newer, older], measured({older.id: 50.0, newer.id: 10.0}))
    assert group.values("student_after", "perplexity") == {1: 10.0}


def test_common_seeds_are_paired_and_others_are_independent(store: Store) -> None:
    soft = [run(store, f"soft-{seed}", seed) for seed in (1, 2, 3)]
    sharp = [run(store, f"sharp-{seed}", seed, 1.0) for seed in (1, 2, 4)]
    values = {**{each.id: value for each, value in zip(soft, (10.0, 20.0, 30.0), strict=True)},
              **{each.id: value for each, value in zip(sharp, (9.0, 18.9, 40.0), strict=True)}}
    one, other = grouping.grouped([*soft, *sharp], measured(values))
    paired, how = grouping.difference(one, other, "student_after", "perplexity")
    assert paired.value == pytest.approx(1.05) and paired.high < 2 and how == "paired, 2 common seeds"
    alone, _ = grouping.grouped([*soft, sharp[2]], measured(values))
    assert alone.seeds == [1, 2, 3]
    single = grouping.grouped([sharp[2]], measured(values))[0]
    independent, how = grouping.difference(alone, single, "student_after", "perplexity")
    assert independent.value == -20.0 and independent.low is None and how == "independent, 3 and 1 seeds"
    assert grouping.difference(one, other, "student_after", "accuracy") is None


def test_one_table_of_everything(store: Store) -> None:
    runs = [run(store, "soft-1", 1), run(store, "soft-2", 2)]
    groups = grouping.grouped(runs, measured({runs[0].id: 10.0, runs[1].id: 14.0}))
    table = pd.read_csv(io.StringIO(grouping.everything_csv(groups)))
    assert list(table["seed"]) == [1, 2] and list(table["student_after.perplexity"]) == [10.0, 14.0]
    assert {"config.losses.temperature", "config.train.seed", "version.torch", "commit", "command", "recipe"} <= set(table)
    shown = grouping.run_table(groups, ["student.layers"], ["perplexity"], "student_after")
    assert list(shown.columns) == ["recipe", "run", "seed", "student.layers", "perplexity"]
