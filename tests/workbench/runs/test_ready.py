"""A worker that waits for its run; the engine is a fake one, the processes are not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.system import machine
from tests.app_process import end_runs_of
from tests.waiting import wait_until
from tests.workbench.fake_engine import config, let_go
from tests.workbench.runs.test_jobs import FAKE_WORKER, wait_for
from workbench.processes import Process
from workbench.runs import jobs, ready
from workbench.runs.ready import ReadyWorker
from workbench.store import Store

ENOUGH = 1 << 20  # bytes


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(jobs, "WORKER", FAKE_WORKER)
    monkeypatch.setattr(ready, "SETTLE_SECONDS", 0.0)
    store = Store()
    yield store
    end_runs_of(store)


@pytest.fixture
def waiting(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[ReadyWorker]:
    """A worker that waits, for the queue of this process."""
    made = jobs.ready_worker(store, ENOUGH)
    made.tend(lambda: True)
    assert made._process is not None
    monkeypatch.setattr(jobs, "_runner", jobs.Runner(store, ready=made))
    yield made
    made.close()


def test_a_run_is_given_to_the_worker_that_waits(store: Store, waiting: ReadyWorker) -> None:
    pid = waiting._process.pid
    run = jobs.submit(config(25, name="walk"), store)
    assert run.process is not None and run.process.pid == pid
    run = wait_for(store, run, "finished")
    assert store.report(run.id).command == str(pid) and "Train" in jobs.log_tail(run)
    assert waiting.take(run.id, store.path, run.log_path, {}) is None, "it has its run"


def test_the_next_one_starts_once_no_run_is_active(store: Store, waiting: ReadyWorker) -> None:
    run = wait_for(store, jobs.submit(config(20, name="walk", wait_at=5), store), "running")
    waiting.tend(lambda: not store.runs(status=("starting", "running", "stopping")))
    assert waiting._process is None
    let_go(run.directory)
    wait_for(store, run, "finished")
    waiting.tend(lambda: True)
    assert waiting._process is not None


def test_a_run_for_another_environment_gets_a_process_of_its_own(waiting: ReadyWorker, store: Store, tmp_path: Path) -> None:
    assert waiting.take("run", store.path, tmp_path / "log.txt", {"CUDA_VISIBLE_DEVICES": "1"}) is None
    assert waiting._process is not None, "it waits on"


def test_one_that_has_died_is_not_given_a_run(store: Store, waiting: ReadyWorker) -> None:
    died = waiting._process
    died.kill()
    died.wait()
    run = wait_for(store, jobs.submit(config(3, name="walk"), store), "finished")
    assert store.report(run.id).command != str(died.pid)


def test_it_ends_with_the_app_and_where_memory_is_short(waiting: ReadyWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Process.of(waiting._process.pid)
    monkeypatch.setattr(machine, "memory_available", lambda: ENOUGH // 4)
    waiting.tend(lambda: True)
    assert not first.alive and waiting._process is None
    waiting.tend(lambda: True)
    assert waiting._process is None, "there is no room for one"
    monkeypatch.setattr(machine, "memory_available", lambda: 2 * ENOUGH)
    waiting.tend(lambda: True)
    second = Process.of(waiting._process.pid)
    waiting._process.stdin.close()  # as the death of the app does
    wait_until(lambda: not second.alive, lambda: "it waits for nobody")


def test_a_setting_of_nothing_keeps_none(store: Store) -> None:
    none = jobs.ready_worker(store, 0)
    none.tend(lambda: True)
    assert none._process is None
