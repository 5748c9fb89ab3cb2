"""The worker in this process, with a fake engine: what it writes, and how each way to end is reported."""

from __future__ import annotations

import errno
import io
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from core.config import ExperimentConfig
from core.events import Headway, Phase, Sample
from core.recorder import ListRecorder, Recorder
from tests.waiting import wait_until
from tests.workbench.fake_engine import config, engine
from workbench.errors import StoreUnavailableError, WrongStatusError
from workbench.processes import Process
from workbench.runs import recording, worker
from workbench.runs.journal import read_journal
from workbench.runs.recording import StoreRecorder, passed, recover
from workbench.runs.worker import Outcome, run_worker
from workbench.store import Store, database
from workbench.store.records import Progress, Run


@pytest.fixture
def store() -> Store:
    return Store()


def start(store: Store, config: ExperimentConfig) -> Run:
    return store.create_run(config, device="cpu")


def do(store: Store, config: ExperimentConfig) -> Outcome:
    return run_worker(start(store, config).id, store, engine)


# ------------------------------------------------------------------------------------------------ endings


def test_a_finished_run(store: Store):
    watcher = ListRecorder()
    run = start(store, config(5))
    outcome = run_worker(run.id, store, engine, watchers=(watcher,))
    assert (outcome.run.status, outcome.error, outcome.report.stopped) == ("finished", None, False)
    assert store.latest_metrics(run.id) == {"student": {"eval/perplexity": 100.0, "loss": 0.2, "tokens_per_second": 10.0}}
    assert watcher.series("student", "loss") == {step: 1 / step for step in range(1, 6)}
    assert outcome.run.process is None


@pytest.mark.parametrize(("error", "message", "hint", "code"), [
    ("bug", "TypeError: unsupported operand", "log", 1),
    ("disk full", "disk that holds", "Free some space", 1),
    ("disk full in safetensors", "disk that holds", "Free some space", 1),
    ("no memory", "not enough memory", "per_device_train_batch_size", 1),
    ("no memory on the GPU", "not enough memory", "per_device_train_batch_size", 1),
    ("no memory in torch", "not enough memory", "per_device_train_batch_size", 1),
    ("no memory in torch on Windows", "There was not enough memory", "per_device_train_batch_size", 1),
    ("not finite", "NaN at step 3", "learning_rate", 1),
    ("mistake", "depth was given as 9", "student.layers", 2),
    ("read-only", "read-only file system", "Put that right", 1),
])
def test_a_failure_says_what_to_do_and_keeps_the_curve(store: Store, error: str, message: str, hint: str, code: int):
    outcome = do(store, config(5, fail_at=4, error=error))
    assert outcome.run.status == "failed"
    assert message in outcome.run.message
    assert hint in outcome.run.hint
    assert outcome.run.error is not None and outcome.run.error.to_dict() == outcome.error.to_dict()
    assert outcome.error.exit_code == code
    assert "Traceback" not in outcome.run.message
    assert "Traceback" in outcome.run.log_path.read_text(), "for whoever reads the code"
    assert len(store.metrics(outcome.run.id, "student", ["loss"])) == 3
    assert outcome.run.resumable


def test_a_failed_run_is_resumed_where_it_was(store: Store):
    run = do(store, config(5, fail_at=4, error="no memory")).run
    (run.directory / "step").write_text("4")  # the memory is there now
    store.requeue(run.id)
    store.claim(run.id, "cpu")
    outcome = run_worker(run.id, store, engine)
    assert (outcome.run.status, outcome.run.message) == ("finished", "")
    assert store.metric_series_tail(run.id, "loss") == [(1, 1.0), (2, 0.5), (3, 1 / 3), (5, 0.2)]


class Signals(ListRecorder):
    """Sends this process a signal at certain steps, so surely while the engine runs."""

    def __init__(self, number: int, *steps: int) -> None:
        super().__init__()
        self.number, self.steps = number, steps

    def log(self, variant: str, step: int, metrics: Mapping[str, float]) -> None:
        if step in self.steps:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_with_a_checkpoint(store: Store, number: int):
    run = start(store, config(2000))
    before = signal.getsignal(number)
    outcome = run_worker(run.id, store, engine, watchers=(Signals(number, 12),))
    assert (outcome.run.status, outcome.run.message) == ("stopped", "Stopped at step 12 of 2000.")
    assert (run.directory / "step").read_text() == "12"
    assert signal.getsignal(number) == before


def test_a_second_ctrl_c_ends_an_engine_that_does_not_listen(store: Store):
    run = start(store, config(100_000, deaf=True))
    outcome = run_worker(run.id, store, engine, watchers=(Signals(signal.SIGINT, 12, 15),))
    assert (outcome.run.status, outcome.run.message) == ("stopped", "Interrupted, without a checkpoint, at step 15 of 100000.")
    assert len(store.metrics(run.id, "student", ["loss"])) == 15


def test_a_run_that_was_not_claimed_is_left_alone(store: Store):
    run = store.create_run(config())
    with pytest.raises(WrongStatusError, match="queued"):
        run_worker(run.id, store, engine)
    assert store.run(run.id).status == "queued"


def test_a_run_taken_away_meanwhile_is_left_as_it_is(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(recording, "FLUSH_SECONDS", 0.05)

    def engine_that_is_given_up(config: ExperimentConfig, recorder: Recorder, directory: Path, **options: Any) -> dict[str, Any]:
        store.finish(run.id, "lost", "gone")
        return engine(config, recorder, directory, **options)

    run = start(store, config(100_000, wait_at=1))
    outcome = run_worker(run.id, store, engine_that_is_given_up)
    assert (outcome.run.status, outcome.run.message) == ("lost", "gone")
    assert outcome.report.stopped, "it noticed and stopped"


def test_a_full_store_gets_its_last_words_from_the_reserve(store: Store, monkeypatch: pytest.MonkeyPatch):
    run = start(store, config(5, fail_at=4, error="disk full"))
    reserve = run.directory / ".reserve"
    finish = store.finish

    def finish_if_there_is_room(*arguments: Any, **options: Any) -> bool:
        assert not reserve.exists(), "the room was not given back before the last words"
        return finish(*arguments, **options)

    def engine_on_a_full_disk(*arguments: Any, **options: Any) -> dict[str, Any]:
        assert reserve.stat().st_blocks * 512 >= 1 << 20, "the space is really taken"
        return engine(*arguments, **options)

    monkeypatch.setattr(store, "finish", finish_if_there_is_room)
    assert run_worker(run.id, store, engine_on_a_full_disk).run.status == "failed"


def test_a_disk_that_is_full_from_the_start_fails_the_run(store: Store, monkeypatch: pytest.MonkeyPatch):
    def full(_self: Path, _content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    run = start(store, config())
    monkeypatch.setattr(Path, "write_bytes", full)
    outcome = run_worker(run.id, store, engine)
    assert outcome.run.status == "failed"
    assert "full" in outcome.run.message


# ------------------------------------------------------------------------------------------------ recording


def test_a_killed_recorder_loses_nothing(store: Store):
    run = start(store, config())
    store.mark_running(run.id, Process.current())
    recorder = StoreRecorder(store, run, Process.current())  # its thread never runs: the process was killed at once
    recorder.log("student", 1, {"loss": 2.0, "raw/kd": math.nan})
    recorder.event(Sample("student", 1, "?", "ü"))
    assert store.metrics(run.id).empty
    with open(run.journal_path, "a") as journal:
        journal.write('["metrics", [["student", 2, "lo')  # a line cut by the kill
    for _ in range(2):  # two apps may notice
        recover(store, run)
    assert store.metric_series_tail(run.id, "loss") == [(1, 2.0)]
    assert math.isnan(store.metric_series_tail(run.id, "raw/kd")[0][1])
    assert [event.payload["answer"] for event in store.events(run.id)] == ["ü"]


def test_the_next_recorder_begins_with_what_the_last_one_left(store: Store):
    run = start(store, config())
    store.mark_running(run.id, Process.current())
    StoreRecorder(store, run, Process.current()).log("student", 1, {"loss": 2.0})
    with StoreRecorder(store, run, Process.current()) as recorder:
        assert store.metric_series_tail(run.id, "loss") == [(1, 2.0)]
        recorder.log("student", 2, {"loss": 1.0})
    assert store.metric_series_tail(run.id, "loss") == [(1, 2.0), (2, 1.0)]
    assert read_journal(run.journal_path) == ([], []), "handed over"


def test_rows_wait_while_the_store_is_locked(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(recording, "FLUSH_SECONDS", 0.02)
    run = start(store, config())
    store.mark_running(run.id, Process.current())
    record, refused = store.record, threading.Event()

    def locked_at_first(*arguments: Any) -> bool:
        if not refused.is_set():
            refused.set()
            raise StoreUnavailableError("The store stayed locked.")
        return record(*arguments)

    monkeypatch.setattr(store, "record", locked_at_first)
    with StoreRecorder(store, run, Process.current()) as recorder:
        recorder.log("student", 1, {"loss": 2.0})
        wait_until(lambda: not store.metrics(run.id).empty)
        assert refused.is_set()
        assert store.metric_series_tail(run.id, "loss") == [(1, 2.0)]


def test_progress_follows_phases_and_steps(store: Store):
    began = time.time()
    run = start(store, config())
    store.mark_running(run.id, Process.current())
    with StoreRecorder(store, run, Process.current()) as recorder:
        recorder.event(Phase("prepare data"))
        recorder.event(Phase("train", "student", total_steps=9))
        recorder.log("student", 9, {"loss": 3.0})
        recorder.log("control", 0, {"eval/perplexity": 3.0})
        assert (recorder.progress.variant, recorder.progress.step) == ("student", 9), "an evaluation before training is no step"
        recorder.event(Phase("train", "control", total_steps=7))
        recorder.log("control", 4, {"loss": 3.0})
    progress = store.run(run.id).progress
    assert (progress.phase, progress.variant, progress.step, progress.total) == ("train", "control", 4, 7)
    assert began <= store.run(run.id).heartbeat <= time.time()


def test_a_step_costs_one_write_and_does_not_wait_for_the_store(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(recording, "FLUSH_SECONDS", 3600.0)
    run = start(store, config())
    store.mark_running(run.id, Process.current())
    write, lines = os.write, []
    with StoreRecorder(store, run, Process.current()) as recorder:
        with monkeypatch.context() as patch:
            patch.setattr(database.Database, "_connect", Mock(side_effect=AssertionError("the store was opened")))
            patch.setattr(os, "write", lambda file, data: lines.append(data) or write(file, data))
            for step in range(1, 101):
                recorder.log("student", step, dict.fromkeys(("loss", "raw/kd", "raw/hard", "learning_rate", "tokens"), 0.5))
        assert [line.count(b"\n") for line in lines] == [1] * 100
    assert len(store.metrics(run.id)) == 500


def test_time_passes_while_a_run_says_nothing() -> None:
    said = Progress("steps", "student", 3, 9, share=0.5, seconds_left=100.0)
    assert passed(said, 40.0).seconds_left == 60.0 and passed(said, 40.0).share == pytest.approx(0.7)
    assert passed(said, 1000.0).seconds_left == 10.0, "it is not over before it says so"
    assert passed(Progress("steps", "student", 3, 9), 40.0).seconds_left is None


def test_how_far_a_run_is_stands_in_the_store_and_not_among_its_events(store: Store) -> None:
    run = store.create_run(config(3, name="walk"))
    process = Process.current()
    assert store.claim_next(lambda *_: "cpu", list) is not None and store.mark_running(run.id, process)
    with StoreRecorder(store, store.run(run.id), process) as recorder:
        recorder.event(Headway(0.25, 30.0, 2, 8))
    found = store.run(run.id).progress
    assert found.share == pytest.approx(0.25, abs=0.01) and found.seconds_left == pytest.approx(30, abs=1)
    assert (found.done, found.items) == (2, 8) and not store.events(run.id, kind="headway")
    store.finish(run.id, "stopped")
    store.requeue(run.id)
    assert store.run(run.id).progress.seconds_left is None


@pytest.mark.parametrize(("phase", "left"), [("prepare data", True), ("export", True), ("steps", False), ("evaluate", False)])
def test_a_phase_that_does_not_answer_a_stop_is_left_where_nothing_is_lost(store: Store, monkeypatch: pytest.MonkeyPatch, phase: str,
                                                                         left: bool) -> None:
    monkeypatch.setattr(recording, "FLUSH_SECONDS", 0.01)
    monkeypatch.setattr(recording, "PATIENCE", 0.03)
    run, process, calls, looks = store.create_run(config(3, name="walk")), Process.current(), [], []
    assert store.claim_next(lambda *_: "cpu", list) is not None and store.mark_running(run.id, process)
    monkeypatch.setattr(store, "record", lambda *_: looks.append(1) or True)
    with StoreRecorder(store, store.run(run.id), process, abandon=lambda: calls.append(1)) as recorder:
        recorder.event(Phase(phase))
        wait_until(lambda: calls if left else len(looks) > 20, lambda: f"{len(calls)} calls, {len(looks)} looks")
    assert bool(calls) == left


def test_a_deaf_phase_ends_with_its_process_and_can_be_resumed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run = store.create_run(config(3, name="walk"))
    assert store.claim_next(lambda *_: "cpu", list) is not None and store.mark_running(run.id, Process.current())
    monkeypatch.setattr(worker.os, "_exit", lambda code: (_ for _ in ()).throw(SystemExit(code)))
    monkeypatch.setattr(worker.jobs, "launch_next", lambda _store: [])
    (run.directory / worker.RESERVE).write_bytes(b"kept")
    with pytest.raises(SystemExit):
        worker._abandon(store.run(run.id), store)
    ended = store.run(run.id)
    assert ended.status == "stopped" and ended.resumable and not (run.directory / worker.RESERVE).exists()
    worker._abandon(ended, store)  # it has ended already: nothing more


class InterruptedStream(io.RawIOBase):
    """A stream in the middle of whose first write Ctrl-C is pressed."""

    def __init__(self) -> None:
        self.written = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.written += 1
        if self.written == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return len(data)


def test_ctrl_c_in_the_middle_of_a_line_is_a_stop(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    recorder, stream = Mock(), InterruptedStream()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BufferedWriter(stream), write_through=True))
    with worker._signals_stop(recorder):
        print("student step 1", file=sys.stderr, flush=True)
    recorder.request_stop.assert_called_once_with()
    assert stream.written and "Ctrl-C again to end at once" in capfd.readouterr().err
