from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest

from core.errors import ConfigError
from core.recipes import parse_recipe, parse_yaml
from workbench.errors import RunNameTakenError, RunNotFoundError, StoreError, WrongStatusError
from workbench.processes import Process
from workbench.store import Store
from workbench.store.records import Progress, Run


@pytest.fixture
def store() -> Store:
    return Store()


def make(store: Store, name: str = "walk", **recipe: object) -> Run:
    return store.create_run(parse_recipe({"name": name, **recipe}))


def run_through(store: Store, run: Run, status: str) -> Run:
    """Bring a queued run to a status as a worker would."""
    assert store.claim(run.id, "cpu")
    assert store.mark_running(run.id, Process.current())
    assert store.finish(run.id, status)
    return store.run(run.id)


# ------------------------------------------------------------------------------------------------ making and finding


def test_a_new_run_waits_with_everything_that_repeats_it(store: Store, home: Path):
    config = parse_recipe({"name": "walk", "train": {"seed": 7}})
    run = store.create_run(config, "python -m workbench distill walk.yaml")
    assert (run.name, run.status, run.seed, run.command) == ("walk", "queued", 7, "python -m workbench distill walk.yaml")
    assert run.config == config
    assert run.config_hash == config.digest()
    assert {"stillhouse", "python", "torch"} <= run.versions.keys()
    assert run.directory == home / "runs" / run.id
    assert parse_recipe(parse_yaml((run.directory / "recipe.yaml").read_text(), "recipe")) == config


def test_default_command_names_the_recipe_in_the_folder(store: Store):
    run = make(store)
    assert run.command == f"python -m workbench distill {run.directory / 'recipe.yaml'}"


def test_names_are_numbered_and_without_one_made_from_the_models(store: Store):
    assert [make(store, "walk").name, make(store, "WALK").name, make(store, "walk-2").name] == ["walk", "WALK-2", "walk-3"]
    unnamed = store.create_run(parse_recipe({"teacher": {"model": "some/where/Big Model.gguf"}, "student": {"layers": 3}}))
    assert unnamed.name == unnamed.config.name == "Big-Model.gguf-3-layers"


def test_longest_name_can_be_numbered(store: Store):
    assert [len(make(store, "n" * 80).name) for _ in range(12)] == [80, *[76] * 8, *[77] * 3]


def test_found_by_name_id_and_beginning_of_the_id(store: Store):
    run = make(store, "Walk")
    for reference in ("Walk", "walk", run.id, run.id[:-1]):
        assert store.run(reference).id == run.id


def test_unknown_run_names_the_nearest(store: Store):
    make(store, "quickstart")
    with pytest.raises(RunNotFoundError, match="Did you mean 'quickstart'"):
        store.run("quickstrat")


def test_ambiguous_beginning_is_refused(store: Store):
    first, _ = make(store), make(store)
    with pytest.raises(RunNotFoundError, match="More than one"):
        store.run(first.id[:8])


@pytest.mark.parametrize("reference", ["../../etc", "%", "_%", "", "' OR 1=1 --"])
def test_odd_references_find_nothing(store: Store, reference: str):
    make(store)
    with pytest.raises(RunNotFoundError):
        store.run(reference)


def test_listing_is_newest_first_and_filtered(store: Store):
    first, second, third = make(store, "a"), make(store, "b"), make(store, "c")
    run_through(store, first, "finished")
    store.delete(second.id)
    assert [run.name for run in store.runs()] == ["c", "a"]
    assert [run.name for run in store.runs(limit=1)] == ["c"]
    assert [run.name for run in store.runs(status="finished")] == ["a"]
    assert [run.name for run in store.runs(status=("finished", "queued"))] == ["c", "a"]
    assert [run.name for run in store.runs(include_deleted=True)] == ["c", "b", "a"]
    assert third.config_hash == first.config_hash


def test_a_clock_that_is_set_back_changes_no_order(store: Store, monkeypatch: pytest.MonkeyPatch):
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3600)
    run_through(store, make(store, "failed"), "failed")
    make(store, "first")
    monkeypatch.setattr(time, "time", lambda: now)
    make(store, "second")
    store.requeue("failed")
    make(store, "third")
    assert [run.name for run in store.runs()] == ["third", "second", "first", "failed"]
    assert [run.name for run in store.queue()] == ["first", "second", "failed", "third"]
    assert store.run("third").created == now
    assert store.claim_next(lambda device, busy, processes: "cpu", list).name == "first"


def test_a_config_that_a_later_release_refuses_does_not_hide_the_run(store: Store):
    run = make(store)
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE runs SET config = json_set(config, '$.abandoned', 1)")
    connection.close()
    found = store.run("walk")
    assert found.requested_device == "auto"
    assert [each.id for each in store.runs()] == [run.id]
    with pytest.raises(ConfigError, match="abandoned"):
        found.config  # noqa: B018


# ------------------------------------------------------------------------------------------------ a run's life


def test_a_run_is_claimed_once(store: Store):
    run = make(store)
    assert store.claim(run.id, "cpu")
    assert not store.claim(run.id, "cpu")
    assert store.run(run.id).status == "starting"


def test_only_the_first_worker_reports_in(store: Store):
    run = make(store)
    assert not store.mark_running(run.id, Process.current()), "nobody claimed it yet"
    store.claim(run.id, "cpu")
    assert store.mark_running(run.id, Process.current())
    assert not store.mark_running(run.id, Process.current())
    assert store.run(run.id).process == Process.current()


def test_claim_next_takes_turns_among_free_devices(store: Store):
    for name, device in (("a", "cpu"), ("b", "cpu"), ("c", "cuda:0")):
        make(store, name, train={"device": device})

    def own_device(requested: str, busy: set[str], processes: int | str) -> str | None:
        return None if requested in busy else requested

    assert [run and run.name for run in (store.claim_next(own_device, lambda device: [device]) for _ in range(3))] == ["a", "c", None]
    store.mark_running(store.run("a").id, Process.current())
    store.finish(store.run("a").id, "finished")
    assert store.claim_next(own_device, lambda device: [device]).name == "b"


def test_what_a_large_run_waits_for_is_kept_for_it(store: Store):
    gpus = ["cuda:0", "cuda:1"]

    def choose(requested: str, busy: set[str], processes: int | str) -> str | None:
        free = [gpu for gpu in gpus if gpu not in busy]
        return ",".join(free[:processes]) if len(free) >= processes else None

    for name, processes in (("one", 1), ("both", 2), ("small", 1)):
        make(store, name, train={"processes": processes})
    assert store.claim_next(choose, lambda device: gpus).device == "cuda:0"
    assert store.claim_next(choose, lambda device: gpus) is None, "small would do with cuda:1, and both would never start"
    store.finish(store.run("one").id, "finished")
    assert store.claim_next(choose, lambda device: gpus).device == "cuda:0,cuda:1"
    assert store.claim_next(choose, lambda device: gpus) is None


def test_a_run_waits_until_the_run_whose_model_it_takes_has_ended(store: Store):
    def every_device(requested: str, busy: set[str], processes: int | str) -> str:
        return f"cuda:{len(busy)}"

    first = make(store, "first")
    later = store.create_run(parse_recipe({"name": "later"}), parents={"first": f"{first.id}:student"})
    assert store.claim_next(every_device, lambda device: []).id == first.id
    assert store.claim_next(every_device, lambda device: []) is None, "a device is free, but its teacher is still in training"
    store.mark_running(first.id, Process.current())
    store.finish(first.id, "finished")
    assert store.claim_next(every_device, lambda device: []).id == later.id


def test_stop_of_a_queued_run_cancels_it(store: Store):
    run = store.request_stop(make(store).id)
    assert run.status == "stopped"
    assert not store.claim(run.id, "cpu")


def test_stop_while_starting_reaches_the_worker(store: Store):
    run = make(store)
    store.claim(run.id, "cpu")
    assert store.request_stop(run.id).status == "stopping"
    assert store.mark_running(run.id, Process.current())
    assert store.run(run.id).status == "stopping"
    assert store.record(run.id, Process.current(), [], [], Progress(None, None, 0, None)), "stop requested"


@pytest.mark.parametrize("status", ["stopped", "failed", "lost"])
def test_ended_runs_are_queued_again_under_the_same_id(store: Store, status: str):
    run = run_through(store, make(store), status)
    again = store.requeue(run.id)
    assert (again.id, again.status, again.message, again.stop_requested, again.process) == (run.id, "queued", None, None, None)
    assert run_through(store, again, "finished").status == "finished"


def test_an_earlier_stop_request_does_not_stop_the_resumed_run(store: Store):
    run = make(store)
    store.claim(run.id, "cpu")
    store.mark_running(run.id, Process.current())
    store.request_stop(run.id)
    store.finish(run.id, "stopped")
    store.requeue(run.id)
    store.claim(run.id, "cpu")
    store.mark_running(run.id, Process.current())
    assert not store.record(run.id, Process.current(), [], [], Progress(None, None, 0, None))


def test_what_cannot_be_resumed_says_so(store: Store):
    with pytest.raises(WrongStatusError, match="is queued"):
        store.requeue(make(store).id)
    finished = run_through(store, make(store), "finished")
    with pytest.raises(WrongStatusError, match="is finished"):
        store.requeue(finished.id)
    stopped = store.delete(run_through(store, make(store), "stopped").id)
    with pytest.raises(WrongStatusError, match="Restore it first"):
        store.requeue(stopped.id)


def test_the_end_of_one_attempt_is_not_that_of_the_next(store: Store):
    run = make(store)
    store.claim(run.id, "cpu")
    store.mark_running(run.id, Process.current())
    first = store.run(run.id)
    assert store.finish(run.id, "stopped", attempt=first.started)
    store.requeue(run.id)
    store.claim(run.id, "cpu")
    assert not store.finish(run.id, "lost", attempt=first.started), "said by somebody who looked before the resume"
    assert store.run(run.id).status == "starting"


def test_a_worker_that_lost_its_run_receives_a_stop_request(store: Store):
    run = make(store)
    store.claim(run.id, "cpu")
    store.mark_running(run.id, Process.current())
    other = Process(pid=1, started=0.0, boot_id="elsewhere")
    assert store.record(run.id, other, [("student", 1, "loss", 1.0)], [], Progress("train", "student", 1, 9))
    assert store.run(run.id).progress.step == 0
    assert len(store.metrics(run.id)) == 1, "what was logged is kept all the same"


# ------------------------------------------------------------------------------------------------ keeping house


def test_rename(store: Store):
    make(store, "walk")
    run = store.rename("walk", "run")
    assert (run.name, run.config.name) == ("run", "run")
    assert store.rename("run", "RUN").name == "RUN", "a run may change the case of its own name"


@pytest.mark.parametrize("name", ["../walk", "a/b", "", ".hidden", "a b", "n" * 81, "a\n"])
def test_names_cannot_be_paths(store: Store, name: str):
    make(store, "walk")
    with pytest.raises(ConfigError, match="name"):
        store.rename("walk", name)
    with pytest.raises(ConfigError, match="name"):
        parse_recipe({"name": name})


def test_a_taken_name_is_refused(store: Store):
    first, _ = make(store, "walk"), make(store, "run")
    for taken in ("WALK", first.id):
        with pytest.raises(RunNameTakenError):
            store.rename("run", taken)


def test_a_run_with_the_same_config_gets_a_name_of_its_own(store: Store):
    run = make(store, "walk", train={"seed": 3})
    again = store.create_run(run.config)
    assert (again.name, again.config_hash) == ("walk-2", run.config_hash)


def test_delete_restore_purge(store: Store):
    run = run_through(store, make(store), "finished")
    store.log_metrics(run.id, [("student", 1, "loss", 1.0)])
    store.log_events(run.id, [("report", {}, 1.0)])
    with pytest.raises(WrongStatusError, match="not in the bin"):
        store.purge(run.id)
    assert store.delete(run.id).deleted is not None
    assert store.delete(run.id).deleted is not None, "twice does no harm"
    assert run.directory.is_dir(), "the bin can be undone"
    assert store.restore(run.id).deleted is None
    store.delete(run.id)
    store.purge(run.id)
    assert not run.directory.exists()
    with pytest.raises(RunNotFoundError):
        store.run(run.id)
    assert store.metrics(run.id).empty
    assert store.events(run.id) == []
    assert list((store.home / "bin").iterdir()) == []


@pytest.mark.parametrize("status", ["starting", "running", "stopping"])
def test_deleting_an_active_run_asks_to_stop_it_first(store: Store, status: str):
    run = make(store)
    store.claim(run.id, "cpu")
    if status != "starting":
        store.mark_running(run.id, Process.current())
    if status == "stopping":
        store.request_stop(run.id)
    with pytest.raises(WrongStatusError, match="Stop it first"):
        store.delete(run.id)
    assert store.run(run.id).deleted is None


def test_a_deleted_queued_run_never_starts(store: Store):
    run = store.delete(make(store).id)
    assert not store.claim(run.id, "cpu")
    assert store.claim_next(lambda requested, busy, processes: "cpu", list) is None
    assert store.restore(run.id).status == "stopped"


@pytest.mark.parametrize("forged", ["../precious", "/tmp", "..", ""])
def test_purge_touches_nothing_outside_the_runs_folder(store: Store, home: Path, forged: str):
    precious = home / "precious"
    precious.mkdir()
    (precious / "file").write_text("kept")
    run = make(store)
    store.delete(run.id)
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE runs SET id = ?", (forged,))
    connection.close()
    with pytest.raises(StoreError, match="nothing was removed"):
        store.purge(forged)
    assert (precious / "file").read_text() == "kept"
    assert Path("/tmp").is_dir()


def test_purge_removes_a_link_and_not_what_it_points_to(store: Store, tmp_path: Path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("kept")
    run = make(store)
    (run.directory / "recipe.yaml").unlink()
    run.directory.rmdir()
    run.directory.symlink_to(precious)
    store.delete(run.id)
    store.purge(run.id)
    assert not run.directory.is_symlink()
    assert (precious / "file").read_text() == "kept"


def test_purge_finishes_what_an_interrupted_one_left(store: Store):
    leftover = store.home / "bin" / "20260101-000000-abcd"
    leftover.mkdir(parents=True)
    (leftover / "file").write_text("x")
    store.purge(store.delete(make(store).id).id)
    assert not leftover.exists()


def test_discard_leaves_no_trace(store: Store):
    run = run_through(store, make(store), "failed")
    store.discard(run.id)
    assert store.runs(include_deleted=True) == []
    assert not run.directory.exists()
