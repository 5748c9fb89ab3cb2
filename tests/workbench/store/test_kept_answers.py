"""Kept answers beside the runs that learn from them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.signals.manager import stored_caches
from tests.core.signals.test_cache import filled
from tests.pages import examples
from workbench.store import Store
from workbench.store.kept_answers import document, uses


@pytest.mark.parametrize(("progress", "expected"), [({"signals": "abc"}, {"abc": ["done"]}), ({"signals": "live"}, {}), ({}, {})])
def test_runs_are_found_by_what_they_learn_from(home: Path, progress: dict[str, str], expected: dict[str, list[str]]):
    store = Store()
    run = examples.finished(store)
    run.directory.mkdir(parents=True, exist_ok=True)
    (run.directory / "progress.json").write_text(json.dumps(progress))
    assert uses(store) == expected


def test_a_cache_as_plain_data(tmp_path: Path):
    filled(tmp_path / "abc", 5)
    cache, = stored_caches(tmp_path)
    found = document(cache, {"abc": ["reader"]})
    assert json.loads(json.dumps(found)) == found
    assert (found["cache"], found["form"], found["blocks"], found["runs"], found["deleted"]) == ("abc", "hidden", 1, ["reader"], False)
