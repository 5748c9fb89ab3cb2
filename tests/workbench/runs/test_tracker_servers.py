"""Local trackers: what is started for which runs, its address, and its end. The tracker is a script that says where it answers."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Sequence
from types import SimpleNamespace

import psutil
import pytest

from core.recipes import parse_recipe
from tests.waiting import wait_until
from workbench.runs import tracker_servers
from workbench.store import Store
from workbench.store.records import Run

SCRIPT = "import time; print('TensorBoard 2 at http://localhost:6006/ (Press CTRL+C to quit)'); time.sleep(600)"


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """The trackers that count as installed; each starts SCRIPT."""
    names = {"tensorboard", "trackio"}
    found = importlib.util.find_spec
    monkeypatch.setattr(tracker_servers, "importlib", SimpleNamespace(util=SimpleNamespace(
        find_spec=lambda name: (object() if name in names else None) if name in tracker_servers.TITLES else found(name))))
    monkeypatch.setattr(tracker_servers, "COMMANDS", {name: lambda runs: [sys.executable, "-c", SCRIPT] for name in names})
    yield names
    tracker_servers.close_all()


def run(store: Store, *trackers: str, name: str = "tracked") -> Run:
    config = parse_recipe({"name": name, "train": {"report_to": list(trackers), "device": "cpu"}})
    made = store.create_run(config, device="cpu")
    tracker_servers.logs_of(made).mkdir()
    return store.run(made.id)


def test_a_tracker_is_offered_where_a_run_reports_to_it_and_it_is_installed(store: Store, installed: set[str]) -> None:
    both, none = run(store, "tensorboard", "trackio"), run(store)
    assert tracker_servers.trackers_of([both, none]) == {"tensorboard": [both], "trackio": [both]}
    installed.discard("trackio")
    assert list(tracker_servers.trackers_of([both])) == ["tensorboard"]
    tracker_servers.logs_of(both).rmdir()
    assert tracker_servers.trackers_of([both]) == {}, "nothing was written yet"


def test_one_server_answers_for_the_same_runs_until_it_is_closed(store: Store) -> None:
    runs = [run(store, "tensorboard")]
    server = tracker_servers.open_server("tensorboard", runs)
    assert tracker_servers.open_server("tensorboard", runs) is server is tracker_servers.opened("tensorboard", runs)
    assert wait_until(lambda: server.address) == "http://localhost:6006"
    tracker_servers.close(server)
    assert server.ended
    assert not psutil.pid_exists(server.process.pid)
    assert tracker_servers.opened("tensorboard", runs) is None


def test_several_runs_have_their_names_in_tensorboard(store: Store) -> None:
    first, second = run(store, "tensorboard", name="a"), run(store, "tensorboard", name="b")
    words: Sequence[str] = tracker_servers._tensorboard([first, second])
    assert f"a:{tracker_servers.logs_of(first)},b:{tracker_servers.logs_of(second)}" in words
    assert words[-4:] == ["--host", "127.0.0.1", "--port", "0"]
    assert str(tracker_servers.logs_of(first)) in tracker_servers._tensorboard([first])
