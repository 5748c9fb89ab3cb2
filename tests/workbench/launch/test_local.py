"""A run of two processes from the queue: one killed in mid-run, resumed, and the same curves as in one process; what ended which."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from core.errors import StillhouseError
from core.events import Processes
from core.methods import run_experiment
from core.models import catalog
from core.recipes import parse_recipe
from core.recorder import STUDENT, ListRecorder
from tests.app_process import end_runs_of
from tests.core.chat_models import save_chat_model
from tests.workbench.held_steps import held_at
from workbench.launch import local
from workbench.launch.launcher import JobStatus
from workbench.launch.watching import failure_of
from workbench.runs import jobs
from workbench.store import Store
from workbench.store.records import ACTIVE, Run

STEPS = 20
HELD = 8  # step at which a process is killed


@pytest.mark.timeout(900)  # torch is imported seven times; a busy machine takes minutes for it
def test_kill_9_of_a_rank_fails_the_run_and_resume_gives_the_undisturbed_curve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = tmp_path / "reviews.txt"
    corpus.write_text("\n\n".join(f"Film number {n} has a quiet script and {n % 7} good jokes, I think." for n in range(120)))
    plain = {"name": "pair", "teacher": {"model": str(save_chat_model(tmp_path / "teacher", layers=2))}, "student": {"layers": 1},
             "data": {"source": str(corpus), "block_length": 24, "validation_fraction": 0.2},
             "train": {"max_steps": STEPS, "per_device_train_batch_size": 2, "save_steps": 5, "device": "cpu", "precision": "fp32"},
             "evaluation": {"eval_steps": 10, "blocks": 2, "prompts": [], "sentiment_items": 0}}
    store, held = Store(), held_at(HELD, tmp_path, monkeypatch)
    run = jobs.submit(parse_recipe({**plain, "train": {**plain["train"], "processes": 2}}), store)
    try:
        worker = _wait(store, run.id, HELD).process
        assert worker is not None, jobs.log_tail(run)
        family = psutil.Process(worker.pid).children(recursive=True)
        victim, = (each for each in family if _rank(each) == "1")
        os.kill(victim.pid, signal.SIGKILL)
        ended = _wait(store, run.id)
        assert ended.status == "failed" and "Process 1 was ended by SIGKILL" in str(ended.message), jobs.log_tail(ended)
        psutil.wait_procs(family, timeout=30)
        assert not any(each.is_running() for each in family), "none is left behind"
        held.unlink()
        jobs.resume("pair", store)
        assert _wait(store, run.id).status == "finished", jobs.log_tail(run)
    finally:
        end_runs_of(store)
    alone = ListRecorder()
    run_experiment(parse_recipe(plain), alone, tmp_path / "alone", load=catalog.load)
    frame = store.metrics(run.id, STUDENT)
    for name in ("loss", "raw/kd", "eval/perplexity", "tokens"):
        rows = frame[frame.name == name]
        curve = dict(zip(rows.step.tolist(), rows.value.tolist(), strict=True))
        assert curve == pytest.approx(alone.series(STUDENT, name), rel=1e-5, abs=1e-5), name
    speeds = [Processes.from_dict(event.payload) for event in store.events(run.id, kind="processes")]
    assert speeds and all(len(each.memory_gib) == 2 for each in speeds)


def _wait(store: Store, run_id: str, step: int = STEPS + 1) -> Run:
    """Wait until a run has taken a step, or has ended; pytest's own limit ends the wait for what never comes."""
    while (run := store.run(run_id)).status in ACTIVE and run.progress.step < step:
        time.sleep(0.02)
    return run


def _rank(process: psutil.Process) -> str | None:
    try:
        return process.environ().get("RANK")
    except psutil.Error:
        return None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two processes: the first lost its connection a moment after the second ended."""
    (tmp_path / "0.log").write_text("Traceback\nRuntimeError: Connection closed by peer\n")
    (tmp_path / "0.error.json").write_text(json.dumps({"time": 2.0, "error": {
        "error": "RunError", "given": "The run failed: Connection closed by peer.", "expected": "", "fix": "", "suggestion": None}}))
    (tmp_path / "1.log").write_text("a line\nthe last line\n")
    return tmp_path


def failed(folder: Path) -> StillhouseError:
    return failure_of(folder, JobStatus("ended", "ended", local._failure(folder)))


def test_the_process_that_was_killed_is_named_and_not_the_one_that_missed_it(folder: Path) -> None:
    (folder / "failures.json").write_text('{"0": 1, "1": -9}')
    assert failed(folder).given == "Process 1 was ended by SIGKILL. Its last lines: a line | the last line"


def test_the_first_error_is_the_one_that_is_raised(folder: Path) -> None:
    (folder / "failures.json").write_text('{"0": 1, "1": 1}')
    (folder / "1.error.json").write_text(json.dumps({"time": 1.0, "error": {
        "error": "OutOfMemoryError", "given": "There was not enough memory.", "expected": "", "fix": "Less.", "suggestion": None}}))
    error = failed(folder)
    assert type(error).__name__ == "OutOfMemoryError" and error.given == "Process 1: There was not enough memory."


def test_a_process_of_which_its_place_says_nothing_is_found_by_its_silence(folder: Path) -> None:
    error = failure_of(folder, JobStatus("ended", "FAILED"))
    assert "Process 1 ended without a word" in error.given and error.expected == "Its last lines: a line | the last line"
    (folder / "0.error.json").write_text((folder / "0.error.json").read_text().replace("Connection closed by peer", "a mistake"))
    assert failure_of(folder, JobStatus("ended", "FAILED")).given == "The run failed: a mistake."


def test_processes_that_never_started_say_where_to_look(tmp_path: Path) -> None:
    (tmp_path / "agent.log").write_text("ImportError: no torch\n")
    assert "ImportError: no torch" in failed(tmp_path).given
