"""The list of runs: filter, overlay, bin."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.pages import examples
from tests.pages.conftest import Open, fault_free, texts
from workbench.errors import StoreUnavailableError
from workbench.runs import jobs
from workbench.screens import runs_view
from workbench.store import Store


def test_an_empty_store_says_what_to_do(open_page: Open):
    assert "No runs yet" in texts(open_page("runs"))


def test_every_state_is_listed_with_its_last_numbers(open_page: Open, store: Store):
    for make in (examples.queued, examples.running, examples.failed, examples.finished):
        make(store)
    table = open_page("runs").dataframe[0].value.set_index("name")
    assert dict(table["status"]) == {"waiting": "queued", "halfway": "running", "broken": "failed", "done": "finished"}
    assert table.loc["done", "perplexity"] < table.loc["broken", "perplexity"]
    assert table.loc["done", "depth"] == 4


def test_the_table_asks_the_store_once_for_all_numbers(open_page: Open, store: Store, monkeypatch: pytest.MonkeyPatch):
    for name in ("one", "two"):
        examples.finished(store, name)
    calls, read = [], Store.latest_of_all
    monkeypatch.setattr(Store, "latest_of_all", lambda self, *names: calls.append(names) or read(self, *names))
    monkeypatch.setattr(Store, "latest_metrics", lambda self, run_id: pytest.fail("one run at a time"))
    assert open_page("runs").dataframe[0].value["perplexity"].notna().all()
    assert len(calls) == 1


def test_a_queue_that_cannot_be_served_is_reported(open_page: Open, store: Store, monkeypatch: pytest.MonkeyPatch):
    examples.finished(store)
    monkeypatch.setattr(jobs, "_runner", SimpleNamespace(problem=StoreUnavailableError("The disk is full.", "", "Free some space.")))
    for page in ("home", "runs"):
        said, = open_page(page).warning
        assert "cannot be started" in said.value and "The disk is full. Free some space." in said.value
    monkeypatch.setattr(jobs, "_runner", SimpleNamespace(problem=None))
    assert not open_page("runs").warning


def test_the_filter_goes_by_name_teacher_and_status(open_page: Open, store: Store):
    examples.finished(store, "alpha")
    examples.failed(store, "beta")
    page = open_page("runs", search="ALPH")
    assert list(page.dataframe[0].value["name"]) == ["alpha"]
    page = open_page("runs")
    page.button_group(key="statuses").set_value(["failed"]).run()
    assert list(page.dataframe[0].value["name"]) == ["beta"]
    assert "No run matches" in texts(open_page("runs", search="gamma"))


def test_final_metrics_have_one_row_a_model(store: Store, open_page: Open):
    runs = [examples.finished(store, "one"), examples.running(store, "two")]
    head, rows = runs_view.final_table(runs)
    assert head[:2] == ["Run", "held-out perplexity"]
    assert [row[0] for row in rows] == ["one, student", "one, control"]


def ticked(page, rows: list[int]):
    """The page with these rows of the list ticked."""
    *_, key = page.dataframe[0].proto.id.split("-", 2)  # $$ID-hash-key
    page.session_state[key] = {"selection": {"rows": rows, "columns": [], "cells": []}}
    return fault_free(page.run())


def test_the_list_shows_the_steps_of_both_variants(open_page: Open, store: Store):
    examples.finished(store)
    assert open_page("runs").dataframe[0].value["steps"][0] == "student 400/400, control 400/400"


def test_ticked_runs_go_into_the_bin_and_come_back(open_page: Open, store: Store):
    runs = [examples.finished(store, "one"), examples.running(store, "busy"), examples.failed(store, "three")]
    page = ticked(open_page("runs"), [0, 1, 2])
    fault_free(page.button(key="bin ticked").click().run())
    assert [store.run(run.id).deleted is not None for run in runs] == [True, False, True]
    fault_free(page.button(key="undo").click().run())
    assert [run.deleted for run in store.runs()] == [None, None, None]


def test_only_a_run_that_was_ticked_goes_into_the_bin(open_page: Open, store: Store):
    ticked_run = examples.finished(store, "mine")
    page = ticked(open_page("runs"), [0])
    newer = examples.finished(store, "newer")
    fault_free(page.run())
    assert list(page.dataframe[0].value["name"]) == ["newer", "mine"]
    fault_free(page.button(key="bin ticked").click().run())
    assert store.run(ticked_run.id).deleted is not None
    assert store.run(newer.id).deleted is None
    assert "bin ticked" not in [each.key for each in page.button]


def test_a_ticked_run_stays_ticked_under_a_filter_that_shows_it(open_page: Open, store: Store):
    alpha = examples.finished(store, "alpha")
    examples.finished(store, "beta")
    page = ticked(open_page("runs"), [1])
    fault_free(page.text_input(key="search").set_value("alpha").run())
    fault_free(page.button(key="bin ticked").click().run())
    assert store.run(alpha.id).deleted is not None


def test_a_run_that_a_filter_hides_is_not_binned(open_page: Open, store: Store):
    runs = [examples.finished(store, "alpha"), examples.finished(store, "beta")]
    page = ticked(open_page("runs"), [0])
    fault_free(page.text_input(key="search").set_value("alpha").run())
    assert "bin ticked" not in [each.key for each in page.button]
    assert [store.run(run.id).deleted for run in runs] == [None, None]


def test_the_models_of_ticked_runs_are_compared(open_page: Open, store: Store):
    for name in ("one", "two"):
        folder = examples.finished(store, name).output_dir
        folder.mkdir()
        (folder / "config.json").write_text("{}")
    page = ticked(open_page("runs"), [0, 1])
    page = fault_free(page.button(key="compare ticked").click().run())
    assert page.query_params["models"] == "two,one"


def test_the_bin_restores_and_empties(open_page: Open, store: Store):
    first, second = examples.finished(store, "first"), examples.finished(store, "second")
    store.delete(first.id)
    store.delete(second.id)
    page = open_page("runs")
    fault_free(page.button(key=f"restore.{first.id}").click().run())
    fault_free(page.button(key=f"purge.{second.id}").click().run())
    assert [run.name for run in store.runs(include_deleted=True)] == ["first"]
    assert store.run("first").deleted is None
    assert "Delete permanently" not in [each.label for each in page.button]


def test_perplexities_of_different_texts_are_kept_apart(open_page: Open, store: Store, tmp_path: Path):
    own = tmp_path / "own.txt"
    own.write_text("Some text.", encoding="utf-8")
    for name, data in (("one", {}), ("two", {}), ("other-text", {"source": str(own)})):
        examples.finished(store, name, data=data)
    page = ticked(open_page("runs"), [0, 1, 2])
    page.selectbox(key="overlaid").set_value("eval/perplexity").run()
    said = texts(fault_free(page))
    assert "does not compare between these runs" in said
    assert "own.txt" in said
    assert "rows do not compare: held-out perplexity" in said
    page.selectbox(key="overlaid").set_value("tokens_per_second").run()
    assert "does not compare between these runs" not in texts(fault_free(page))


def test_perplexities_of_one_text_share_a_figure(open_page: Open, store: Store):
    for name in ("one", "two"):
        examples.finished(store, name)
    page = ticked(open_page("runs"), [0, 1])
    said = texts(page)
    assert "compare" not in said.lower().replace("compare their models", "")


def test_unfinished_runs_have_a_word_in_place_of_final_metrics(open_page: Open, store: Store):
    examples.running(store)
    assert "None of these runs has been evaluated after training" in texts(ticked(open_page("runs"), [0]))
