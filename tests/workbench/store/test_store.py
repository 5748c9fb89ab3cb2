from __future__ import annotations

import math
import multiprocessing
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import ConfigError
from core.recipes import parse_recipe, parse_yaml
from tests.waiting import PATIENCE
from workbench.errors import RunNameTakenError, RunNotFoundError, StoreError, StoreUnavailableError, WrongStatusError
from workbench.processes import Process
from workbench.store import Store, database
from workbench.store.database import Database
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

    def own_device(requested: str, busy: set[str]) -> str | None:
        return None if requested in busy else requested

    assert [run and run.name for run in (store.claim_next(own_device) for _ in range(3))] == ["a", "c", None]
    store.mark_running(store.run("a").id, Process.current())
    store.finish(store.run("a").id, "finished")
    assert store.claim_next(own_device).name == "b"


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
    assert store.claim_next(lambda requested, busy: "cpu") is None
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


# ------------------------------------------------------------------------------------------------ numbers and events


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
            assert len(store.metrics(run.id, after_rowid=last)) == 1
            assert len(store.latest_metrics(run.id)["student"]) == 3

        costs.append(virtual_machine_steps(store, read, monkeypatch))
    assert len(store.metrics(run.id, "student", ["loss"])) == 10_002
    few, many = costs
    assert many <= few + 2


# ------------------------------------------------------------------------------------------------ the file

VERSION_1 = (Path(__file__).parent / "store_version_1.sql").read_text()


def test_a_store_of_the_first_version_opens_with_its_contents(home: Path):
    home.mkdir()
    connection = sqlite3.connect(home / "store.sqlite")
    connection.executescript(VERSION_1)
    connection.close()
    store = Store()
    run = store.run("old")
    assert run.config == parse_recipe({"name": "old", "train": {"seed": 7, "device": "cpu"}})
    assert store.latest_metrics(run.id) == {"student": {"loss": 2.5}}
    assert store.report(run.id).seconds == 12.0
    assert make(store, "new").name == "new"


def test_an_upgrade_finds_the_last_values_of_curves_logged_before(home: Path):
    home.mkdir()
    connection = sqlite3.connect(home / "store.sqlite")
    connection.executescript(VERSION_1)
    rows = [("student", "loss", 3, None), ("student", "loss", 2, 1.5), ("control", "loss", 7, 0.5)]  # NaN is kept as NULL
    connection.executemany("INSERT INTO metrics (run_id, arm, name, step, value) SELECT id, ?, ?, ?, ? FROM runs", rows)
    connection.commit()
    connection.close()
    store = Store()
    run_id = store.run("old").id
    latest = store.latest_metrics(run_id)
    assert math.isnan(latest["student"]["loss"])
    assert latest["control"] == {"loss": 0.5}
    store.log_metrics(run_id, [("student", 4, "loss", 1.0)])
    assert store.latest_metrics(run_id)["student"] == {"loss": 1.0}


def test_an_upgrade_runs_once_and_whole(home: Path, monkeypatch: pytest.MonkeyPatch):
    run = make(Store())
    monkeypatch.setattr(database, "MIGRATIONS", (*database.MIGRATIONS, "ALTER TABLE runs ADD COLUMN note TEXT; SELECT broken"))
    with pytest.raises(sqlite3.OperationalError, match="broken"):
        Store()
    added = "ALTER TABLE runs ADD COLUMN note TEXT; CREATE INDEX i ON runs (note)"
    monkeypatch.setattr(database, "MIGRATIONS", (*database.MIGRATIONS[:-1], added))
    assert Store().run(run.id).name == run.name, "nothing of the failed upgrade was left behind"
    assert Store().run(run.id).name == run.name


def test_a_store_of_a_newer_release_is_left_alone(home: Path):
    Store()
    with sqlite3.connect(home / "store.sqlite") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreUnavailableError, match="newer release"):
        Store()


def test_a_damaged_file_says_so(home: Path):
    home.mkdir()
    (home / "store.sqlite").write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreUnavailableError, match="damaged"):
        Store()


def test_a_home_that_cannot_be_made_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STILLHOUSE_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(StoreUnavailableError, match="STILLHOUSE_HOME"):
        Store()


def test_a_read_only_store_says_so(store: Store, monkeypatch: pytest.MonkeyPatch):
    make(store)
    connect = Database._connect

    def read_only(self: Database) -> sqlite3.Connection:
        connection = connect(self)
        connection.execute("PRAGMA query_only = ON")
        return connection

    monkeypatch.setattr(Database, "_connect", read_only)
    before = sorted(path.name for path in store.runs_dir.iterdir())
    with pytest.raises(StoreUnavailableError, match="read-only"):
        make(store)
    assert sorted(path.name for path in store.runs_dir.iterdir()) == before, "nothing half-created"


def test_a_full_disk_says_so_and_breaks_nothing(store: Store, monkeypatch: pytest.MonkeyPatch):
    run = make(store)
    connect = Database._connect

    def full(self: Database) -> sqlite3.Connection:
        connection = connect(self)
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
        return connection

    rows = [("student", step, "loss", 0.5) for step in range(5000)]
    with monkeypatch.context() as patch:
        patch.setattr(Database, "_connect", full)
        with pytest.raises(StoreUnavailableError, match="disk is full"):
            store.log_metrics(run.id, rows)
    assert store.metrics(run.id).empty
    store.log_metrics(run.id, rows)
    assert len(store.metrics(run.id)) == 5000


def _write_steps(path: Path, run_id: str, variant: str) -> None:
    store = Store(path)
    for step in range(0, 200, 10):
        store.log_metrics(run_id, [(variant, step + i, "loss", 0.1) for i in range(10)])


def _claim_all(path: Path, rival: int, won: multiprocessing.Queue) -> None:
    store, claimed = Store(path), []
    while run := store.claim_next(lambda _requested, _busy: f"slot {rival}"):
        claimed.append(run.id)
    won.put(claimed)


def test_several_processes_write_at_once(store: Store):
    run = make(store)
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_steps, args=(store.path, run.id, f"arm{i}")) for i in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 4
    assert store.metrics(run.id).groupby("arm").size().tolist() == [200] * 4


def test_processes_that_claim_the_same_runs_share_them(store: Store):
    ids = [make(store).id for _ in range(20)]
    context = multiprocessing.get_context("spawn")
    won = context.Queue()
    rivals = [context.Process(target=_claim_all, args=(store.path, rival, won)) for rival in range(3)]
    for rival in rivals:
        rival.start()
    claimed = [run_id for _ in rivals for run_id in won.get(timeout=PATIENCE)]
    for rival in rivals:
        rival.join()
    assert sorted(claimed) == sorted(ids)
