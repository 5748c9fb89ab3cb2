"""A chain as a run: checked, built by a worker, found by its run's name."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import StillhouseError
from tests.tiny_chains import chain_recipe
from workbench.runs import jobs
from workbench.runs.worker import run_worker
from workbench.store import Store, chains


def test_a_chain_is_a_run_like_any_other(tmp_path: Path):
    store = Store()
    run = jobs.start_here(chain_recipe(tmp_path / "recipe", "walk"), store)
    assert run.command == f"python -m workbench chain {run.directory / 'recipe.yaml'}"
    outcome = run_worker(run.id, store)
    assert outcome.error is None
    assert outcome.run.status == "finished"
    assert [anchor.layers for anchor in outcome.report.anchors] == [4, 2, 1]
    place = chains.place("walk", store)
    assert place.complete
    assert [name for name, _ in chains.anchors(place)] == ["walk:0", "walk:1", "walk:2"]
    steps = [step for step, _ in store.metric_series_tail(run.id, "loss", limit=100)]
    assert steps == [1, 2, 3, 4, 5, 6], "one training after the other"


def test_a_chain_that_cannot_work_is_refused_before_it_is_queued(tmp_path: Path):
    config = chain_recipe(tmp_path / "recipe")
    missing = config.model_copy(update={"data": config.data.model_copy(update={"source": str(tmp_path / "nothing.txt")})})
    with pytest.raises(StillhouseError, match=r"nothing.txt"):
        jobs.submit(missing, Store())
    assert Store().runs() == []
