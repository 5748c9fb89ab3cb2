"""Runs as real processes: started, stopped, killed, resumed, queued. The engine is a fake one; the processes are not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from core.errors import ModelNotFoundError
from core.planning.teacher_tuning import fine_tuning_of_teacher
from core.recipes import parse_recipe
from core.system.paths import PROJECT
from tests.app_process import end_runs, end_runs_of
from tests.waiting import wait_until
from tests.workbench import fake_engine
from tests.workbench.fake_engine import config, let_go
from workbench import processes
from workbench.errors import StoreUnavailableError, WrongStatusError
from workbench.launch.job import FOLDER
from workbench.processes import Process, boot_id
from workbench.runs import jobs
from workbench.runs.journal import read_journal
from workbench.store import Store, references
from workbench.store.records import ACTIVE, Run

FAKE_WORKER = (sys.executable, "-m", "tests.workbench.fake_engine")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store whose runs are done by the fake engine; none of them outlives the test."""
    monkeypatch.setattr(jobs, "WORKER", FAKE_WORKER)
    store = Store()
    yield store
    end_runs_of(store)


def wait(store: Store, run: Run, reached: Callable[[Run], bool]) -> Run:
    def look() -> Run | None:
        now = store.run(run.id)
        assert reached(now) or now.status in ("queued", *ACTIVE), f"{now.status}: {now.message} {now.progress}\n{jobs.log_tail(now)}"
        return now if reached(now) else None

    return wait_until(look, lambda: f"{store.run(run.id)}\n{jobs.log_tail(run)}")


def wait_for(store: Store, run: Run, status: str) -> Run:
    return wait(store, run, lambda run: run.status == status)


def running_at(store: Store, run: Run, step: int) -> Run:
    return wait(store, run, lambda run: run.status == "running" and run.progress.step >= step)


def curve(store: Store, run: Run) -> dict[int, float]:
    frame = store.metrics(run.id, "student", ["loss"])
    assert not frame.duplicated("step").any()
    return dict(zip(frame.step.tolist(), frame.value.tolist(), strict=True))


# ------------------------------------------------------------------------------------------------ the ordinary way


def test_a_run_from_queue_to_end(store: Store):
    run = wait_for(store, jobs.submit(config(25, name="walk"), store), "finished")
    assert curve(store, run) == {step: 1 / step for step in range(1, 26)}
    assert store.latest_metrics(run.id)["student"]["eval/perplexity"] == 100.0
    assert (run.progress.step, run.progress.total, run.progress.variant) == (25, 25, "student")
    report = store.report(run.id)
    assert report.command != str(os.getpid())
    assert "Train" in jobs.log_tail(run)
    assert sorted(path.name for path in run.directory.iterdir()) == ["journal.jsonl", "log.txt", "recipe.yaml", "step"]
    assert run.process is None


def test_the_process_is_detached_from_its_launcher(store: Store):
    code = ("from tests.workbench.fake_engine import config; from workbench.runs import jobs; from workbench.store import Store\n"
            f"jobs.WORKER = {FAKE_WORKER!r}; jobs.submit(config(400, name='walk', wait_at=5), Store())")
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT, start_new_session=True, check=False).returncode == 0
    run = running_at(store, store.run("walk"), 5)
    assert os.getsid(run.process.pid) == run.process.pid, "a session of its own: no hang-up, no Ctrl-C"
    jobs.launch_next(store)  # what an app does that starts now
    assert store.run(run.id).status == "running"


def test_a_kill_of_the_launcher_does_not_touch_the_run(store: Store):
    code = ("from tests.workbench.fake_engine import config; from workbench.runs import jobs; from workbench.store import Store\n"
            f"jobs.WORKER = {FAKE_WORKER!r}; store = Store(); runner = jobs.Runner(store); runner.start()\n"
            "jobs.submit(config(400, name='walk', wait_at=5), store); print('ready', flush=True); import time; time.sleep(3600)")
    app = subprocess.Popen([sys.executable, "-c", code], cwd=PROJECT, stdout=subprocess.PIPE, start_new_session=True)
    assert app.stdout.readline() == b"ready\n"
    run = running_at(store, store.run("walk"), 5)
    os.killpg(app.pid, signal.SIGKILL)
    app.wait()
    app.stdout.close()
    assert jobs.reconcile(store) == []
    let_go(run.directory)
    wait_for(store, run, "finished")


# ------------------------------------------------------------------------------------------------ stopping


def test_stop_saves_and_resume_keeps_the_id(store: Store):
    run = running_at(store, jobs.submit(config(150, name="walk", wait_at=33), store), 33)
    assert store.request_stop("walk").status == "stopping"
    assert wait_for(store, run, "stopped").progress.step == 33
    assert (run.directory / "step").read_text() == "33"
    assert sorted(curve(store, run)) == list(range(1, 34)), "everything logged before the stop is there"
    assert jobs.resume("walk", store).id == run.id
    wait_for(store, run, "finished")
    assert curve(store, run) == {step: 1 / step for step in range(1, 151)}


def test_sigterm_is_a_stop(store: Store):
    run = running_at(store, jobs.submit(config(400, wait_at=3), store), 3)
    os.kill(run.process.pid, signal.SIGTERM)
    stopped = wait_for(store, run, "stopped")
    assert (run.directory / "step").read_text() == str(stopped.progress.step)


def test_stop_during_the_start_never_trains(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv(fake_engine.WAITS_FOR, str(tmp_path / "go"))
    run = jobs.submit(config(400), store)
    assert store.request_stop(run.id).status == "stopping"
    (tmp_path / "go").touch()
    stopped = wait_for(store, run, "stopped")
    assert stopped.progress.step == 0
    assert not (run.directory / "step").exists()


def test_force_ends_a_run_that_does_not_listen(store: Store):
    run = running_at(store, jobs.submit(config(10_000, wait_at=3, deaf=True), store), 3)
    store.request_stop(run.id)
    ended = jobs.force_stop(run.id, store)
    assert ended.status == "stopped"
    assert ended.resumable
    assert not psutil.pid_exists(run.process.pid) or psutil.Process(run.process.pid).status() == psutil.STATUS_ZOMBIE
    with pytest.raises(WrongStatusError, match="stopped"):
        jobs.force_stop(run.id, store)


# ------------------------------------------------------------------------------------------------ dying


def test_kill_9_is_found_loses_nothing_and_can_be_resumed(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(fake_engine.FLUSH_SECONDS, "3600")
    run = running_at(store, jobs.submit(config(80, name="walk", flush_at=5, wait_at=12), store), 5)
    wait_until(lambda: any(step == 12 for _, step, _, _ in read_journal(run.journal_path)[0]), "step 12 in the journal")
    os.kill(run.process.pid, signal.SIGKILL)
    wait(store, run, lambda _: not run.process.alive)
    assert len(curve(store, run)) == 5, "what the store had seen"
    assert [lost.id for lost in jobs.reconcile(store)] == [run.id]
    lost = store.run(run.id)
    assert lost.status == "lost"
    assert lost.resumable
    assert "without a word" in lost.message
    assert "lack of memory" in lost.hint and "per_device_train_batch_size" in lost.hint
    kept = curve(store, run)
    assert sorted(kept) == list(range(1, 13)), "the journal gave back what the store had not seen"
    assert jobs.reconcile(store) == []
    let_go(run.directory)
    assert jobs.resume("walk", store).id == run.id
    wait_for(store, run, "finished")
    assert curve(store, run) == {step: 1 / step for step in range(1, 81)}
    assert len(store.events(run.id, kind="samples")) == 8, "replayed events are not doubled"


def test_a_pid_that_was_given_to_another_process_is_not_the_run(store: Store):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        impostor = replace(Process.of(other.pid), started=Process.of(other.pid).started - 1)
        impostor.kill()
        assert other.poll() is None, "a process that has nothing to do with us was killed"
        run = store.create_run(config())
        store.claim(run.id, "cpu")
        store.mark_running(run.id, impostor)
        assert [lost.id for lost in jobs.reconcile(store)] == [run.id]
        other.stdin.write(b"\n")


def test_a_run_of_an_earlier_boot_is_lost_once_it_has_been_silent(store: Store, monkeypatch: pytest.MonkeyPatch):
    run = store.create_run(config())
    store.claim(run.id, "cpu")
    store.mark_running(run.id, replace(Process.current(), boot_id="another boot"))
    assert jobs.reconcile(store) == [], "another container on this machine may be at it"
    monkeypatch.setattr(jobs, "SILENT_SECONDS", -1.0)
    monkeypatch.setattr(jobs, "BEATS_SECONDS", 0.0)
    assert [lost.message for lost in jobs.reconcile(store)] == ["The machine was restarted while it ran."]


@pytest.mark.parametrize("shift", [3600, -3600], ids=["forward", "back"])
def test_a_run_elsewhere_is_not_lost_when_the_clock_is_set(shift: float, store: Store, monkeypatch: pytest.MonkeyPatch):
    """Another container writes on; until its next beat its last one looks as old as the clock was set."""
    run, elsewhere = store.create_run(config()), replace(Process.current(), boot_id="another boot")
    store.claim(run.id, "cpu")
    store.mark_running(run.id, elsewhere)
    now, waits = time.time(), []
    monkeypatch.setattr(time, "time", lambda: now + shift)

    def beat(seconds: float) -> None:
        waits.append(seconds)
        store.record(run.id, elsewhere, [], [], store.run(run.id).progress)

    monkeypatch.setattr(jobs.time, "sleep", beat)
    assert jobs.reconcile(store) == [] and waits == [jobs.BEATS_SECONDS]
    assert jobs.reconcile(store) == [] and len(waits) == 1, "its beats have the new time"
    monkeypatch.setattr(time, "time", lambda: now + 3 * shift)
    monkeypatch.setattr(jobs.time, "sleep", waits.append)
    assert [lost.id for lost in jobs.reconcile(store)] == [run.id], "it beats no more"


@pytest.mark.parametrize("later", [jobs.START_SECONDS + 1, -3600], ids=["a minute later", "the clock was set back"])
def test_a_launcher_that_died_between_claim_and_start(later: float, store: Store, monkeypatch: pytest.MonkeyPatch):
    run = store.create_run(config())
    store.claim(run.id, "cpu")
    assert jobs.reconcile(store) == []
    now = time.time()
    monkeypatch.setattr(jobs.time, "time", lambda: now + later)
    assert [lost.message for lost in jobs.reconcile(store)] == ["Its process was never started."]
    assert wait_for(store, jobs.resume(run.id, store), "finished")


def test_a_worker_that_dies_before_its_first_word(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jobs, "WORKER", (sys.executable, "-c", "raise SystemExit('no such module')"))
    run = jobs.submit(config(), store)
    lost = wait(store, run, lambda run: jobs.reconcile(store) is not None and store.run(run.id).status == "lost")
    assert "no such module" in jobs.log_tail(lost)


def test_a_worker_that_cannot_be_started(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jobs, "WORKER", ("/no/such/python",))
    with pytest.raises(StoreUnavailableError, match="could not be started"):
        jobs.submit(config(name="walk"), store)
    assert store.run("walk").status == "failed"


def test_a_living_process_is_distinguished_from_a_zombie():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = Process.of(child.pid)
    assert process.alive
    child.kill()
    wait_until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE)
    assert not process.alive, "killed, not yet reaped"
    child.wait()
    child.stdin.close()
    assert not process.alive
    assert process.boot_id == boot_id()


# ------------------------------------------------------------------------------------------------ the queue


def test_one_run_a_device_and_the_next_when_it_ends(store: Store):
    first = jobs.submit(config(30, wait_at=1), store)
    second = jobs.submit(config(5), store)
    elsewhere = store.create_run(config(5, device="cuda:7"))
    jobs.launch_next(store)
    assert second.status == "queued"
    assert store.run(elsewhere.id).status != "queued", "another device is free"
    let_go(first.directory)
    wait_for(store, second, "finished")  # nobody polls the queue here: the first worker starts it at its end
    assert store.run(second.id).started >= store.run(first.id).finished


def test_two_apps_start_each_run_once(store: Store):
    runners = [jobs.Runner(Store(), interval=0.01) for _ in range(3)]
    for runner in runners:
        runner.start()
    runs = [store.create_run(config(3)) for _ in range(4)]
    try:
        reports = [wait_for(store, run, "finished") and store.events(run.id, kind="report") for run in runs]
    finally:
        for runner in runners:
            runner.stop()
    assert [len(each) for each in reports] == [1] * 4
    assert len({each[0].payload["command"] for each in reports}) == 4


@pytest.mark.parametrize("error", [StoreUnavailableError("The disk is full."), KeyError("the disk is full")], ids=repr)
def test_the_runner_continues_after_any_failure(store: Store, error: Exception, monkeypatch: pytest.MonkeyPatch,
                                              caplog: pytest.LogCaptureFixture):
    runner, calls = jobs.Runner(store, interval=0.01), []
    with monkeypatch.context() as patch:
        def broken(_store: Store) -> list[Run]:
            calls.append(error)
            raise error

        patch.setattr(jobs, "launch_next", broken)
        runner.start()
        wait_until(lambda: runner.problem)
        assert "full" in str(runner.problem)
        assert jobs.queue_problem() is runner.problem
        wait_until(lambda: len(calls) > 5)
    assert len([record for record in caplog.records if record.exc_info and record.exc_info[1] is error]) == 1, "logged once"
    run = store.create_run(config(3))
    wait_for(store, run, "finished")
    runner.stop()
    assert runner.problem is None


def test_the_runner_reports_every_started_run_once(store: Store, monkeypatch: pytest.MonkeyPatch):
    reported: list[str] = []
    launch, rounds = jobs.launch_next, []
    monkeypatch.setattr(jobs, "launch_next", lambda store: rounds.append(None) or launch(store))
    runner = jobs.Runner(store, interval=0.01, begun=lambda run: reported.append(run.id))
    runner.start()
    first = store.create_run(config(1000, wait_at=1))
    wait_for(store, first, "running")
    wait_until(lambda: reported)
    so_far = len(rounds)
    wait_until(lambda: len(rounds) > so_far + 5)
    assert reported == [first.id]
    store.request_stop(first.id)
    wait_for(store, first, "stopped")
    runner.stop()


def test_progress_bars_are_disabled_in_the_log_of_a_worker(store: Store, monkeypatch: pytest.MonkeyPatch):
    seen: dict[str, str] = {}

    def started(_command: list[str], *, env: dict[str, str], **_options: object) -> None:
        seen.update(env)
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(processes.subprocess, "Popen", started)
    with pytest.raises(StoreUnavailableError):
        jobs.submit(config(1), store)
    assert seen["TQDM_DISABLE"] == "1"


def test_the_runs_of_a_home_are_ended_with_their_processes(store: Store):
    """What `tests/e2e/conftest.py` does at the end."""
    working = running_at(store, jobs.submit(config(10_000, wait_at=1), store), 1)
    waiting = jobs.submit(config(10_000), store)
    end_runs(store.home)
    assert not working.process.alive
    assert [store.run(run.id).status for run in (working, waiting)] == ["stopped", "stopped"]


def test_a_run_can_be_queued_behind_the_training_of_its_teacher(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jobs, "launch_next", lambda store: [])
    wanted = parse_recipe({"name": "wanted", "teacher": {"model": "house-chat"}, "student": {"layers": 2}})
    first = jobs.submit(fine_tuning_of_teacher(wanted), store)
    second = jobs.submit_after(first, wanted, store)
    assert (first.name, first.config.student.model) == ("house-chat-tuned", "house-chat")
    assert second.config.teacher.model == "house-chat-tuned" and second.parents == {"house-chat-tuned": f"{first.id}:student"}
    assert references.duplicate(second, store).teacher.model == "house-chat-tuned"


def test_a_teacher_that_is_not_there_queues_nothing(store: Store):
    wanted = parse_recipe({"teacher": {"model": "no-such-model"}})
    with pytest.raises(ModelNotFoundError):
        jobs.submit(wanted, store)
    assert store.runs() == []
    assert not store.runs_dir.exists() or not any(store.runs_dir.iterdir())


def test_log_tail_shows_what_a_terminal_would(store: Store):
    run = store.create_run(config())
    assert jobs.log_tail(run) == ""
    run.log_path.write_bytes("10%\r50%\r100%\r\ndone é\nlast".encode())
    assert jobs.log_tail(run) == "100%\ndone é\nlast"
    assert jobs.log_tail(run, limit=4) == "last"


def test_log_tail_shows_each_process_and_the_job_of_a_cluster(store: Store):
    run = store.create_run(config())
    run.log_path.write_text("worker")
    (run.directory / FOLDER).mkdir()
    for name, text in (("0.log", "first"), ("1.log", "second"), ("7_0_log.out", "preempted"), ("7_1_log.out", "")):
        (run.directory / FOLDER / name).write_text(text)
    assert jobs.log_tail(run) == "worker\n--- process 0 ---\nfirst\n--- process 1 ---\nsecond\n--- job 7 ---\npreempted"
