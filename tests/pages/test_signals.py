"""The page of kept answers."""

from __future__ import annotations

import json

import pytest

from core.signals.manager import stored_caches
from core.system.paths import signals_dir
from tests.core.signals.test_cache import filled
from tests.pages import examples
from tests.pages.conftest import Open, button, fault_free, texts
from workbench.screens import signals_view
from workbench.store import Store


@pytest.fixture
def kept(store: Store) -> str:
    """A cache that one run learns from; its key."""
    cache = filled(signals_dir() / "abc123", 5, 6)
    cache.note_error({"kl": 0.00012, "agreement": 0.997, "mass": 1.0, "positions": 1000})
    run = examples.finished(store)
    run.directory.mkdir(parents=True, exist_ok=True)
    (run.directory / "progress.json").write_text(json.dumps({"signals": "abc123"}))
    return "abc123"


def test_nothing_is_kept_yet(open_page: Open):
    assert "No answers are kept yet" in texts(open_page("signals"))


def test_a_cache_with_its_error_and_its_runs(open_page: Open, kept: str):
    table = next(each.proto.body for each in open_page("signals").get("html") if "Kept answers" in each.proto.body)
    for words in ("hidden states", "0.00012 nats", "99.7%", "done", ">2<"):
        assert words in table, words


def test_deletion_can_be_undone(open_page: Open, kept: str):
    page = open_page("signals")
    fault_free(page.button(key=f"bin.{kept}").click().run())
    assert [cache.deleted for cache in stored_caches(signals_dir(), deleted=True)] == [True]
    fault_free(button(page, "Undo").click().run())
    assert [cache.deleted for cache in stored_caches(signals_dir(), deleted=True)] == [False]
    page.button(key=f"bin.{kept}").click().run()
    fault_free(page.button(key=f"restore.{kept}").click().run())
    page.button(key=f"bin.{kept}").click().run()
    fault_free(page.button(key=f"purge.{kept}").click().run())
    assert stored_caches(signals_dir(), deleted=True) == []


def test_forms_are_named_with_their_parameters(kept: str):
    cache, = stored_caches(signals_dir())
    assert signals_view.form_words(cache) == "hidden states"
    cache.manifest.key.form.update(form="sampled", samples=50, temperature=2.0)
    assert signals_view.form_words(cache) == "tokens drawn, N 50, T 2"
