"""The file of the store: upgrades, refusals of the disk, and several processes at once."""

from __future__ import annotations

import math
import multiprocessing
import sqlite3
from pathlib import Path

import pytest

from core.recipes import parse_recipe
from tests.waiting import PATIENCE
from workbench.errors import StoreUnavailableError
from workbench.store import Store, database
from workbench.store.database import Database
from workbench.store.records import Run


@pytest.fixture
def store() -> Store:
    return Store()


def make(store: Store, name: str = "walk", **recipe: object) -> Run:
    return store.create_run(parse_recipe({"name": name, **recipe}))


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
    while run := store.claim_next(lambda *_: f"slot {rival}", list):
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


def test_a_store_on_a_file_system_of_another_machine_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "file_system", lambda folder: "nfs4")
    with pytest.raises(StoreUnavailableError, match="nfs4") as error:
        Database(tmp_path / "store.sqlite")
    assert "STILLHOUSE_HOME" in error.value.fix and not (tmp_path / "store.sqlite").exists()
