"""The process in which models answer, without a model: its messages, its log, its end, and the errors of whoever waits for it."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import psutil
import pytest

from core.system.paths import PROJECT
from tests.waiting import wait_until
from workbench import paths
from workbench.inference import engine_process
from workbench.inference.engine_process import EngineLostError, EngineProcess, Request


@pytest.fixture
def process() -> Iterator[EngineProcess]:
    process = EngineProcess()
    yield process
    process.end()


class Prompt:
    """A process that has said everything before anybody reads."""

    def send(self, op: str, arguments: Mapping[str, Any], inbox: queue.SimpleQueue[dict[str, Any]]) -> int:
        for text, tokens in (("It", 1), (" is", 2), (" good.", 3)):
            inbox.put({"id": 1, "kind": "piece", "text": text, "tokens": tokens})
        inbox.put({"id": 1, "kind": "answer", "text": "It is good."})
        return 1

    def forget(self, number: int) -> None:
        assert number == 1


def test_a_reader_that_lags_gets_longer_pieces() -> None:
    assert list(Request(Prompt(), "generate", {}).messages()) == [
        {"id": 1, "kind": "piece", "text": "It is good.", "tokens": 3}, {"id": 1, "kind": "answer", "text": "It is good."}]


@pytest.mark.parametrize(("number", "message"), [
    (signal.SIGTERM, r"ended by the system \(SIGTERM\).*new process starts by itself"), (signal.SIGKILL, "SIGKILL.*out of memory")])
def test_requests_to_a_process_that_was_ended_say_how(process: EngineProcess, number: signal.Signals, message: str) -> None:
    waiting = Request(process, "info", {"model": "house-chat", "task": None})
    os.kill(process.pid, number)
    with pytest.raises(EngineLostError, match=message):
        list(waiting.messages())
    assert not process.alive
    with pytest.raises(EngineLostError, match=message):  # nobody reads this one any more
        list(Request(process, "info", {"model": "house-chat", "task": None}).messages())


def test_a_process_that_ends_by_itself_names_its_log() -> None:
    given, _, fix = engine_process._exit_message(3, None)
    assert "exit status 3" in given and str(paths.engine_log()) in fix


def test_a_log_grows_until_it_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_process, "LARGEST_LOG", 10)
    for written, kept in ((b"12345", b"12345"), (b"67890", b"1234567890"), (b"1", b"12345678901"), (b"new", b"new")):
        with engine_process._open_log() as log:
            log.write(written)
        assert paths.engine_log().read_bytes() == kept


def test_it_ends_when_its_application_is_killed() -> None:
    program = ("import time\nfrom workbench.inference.client import Engine\nengine = Engine(str)\n"
               "engine.generate('house-chat', [])\nprint(engine.pid, flush=True)\ntime.sleep(60)\n")
    with subprocess.Popen([sys.executable, "-c", program], cwd=PROJECT, stdout=subprocess.PIPE, text=True) as application:
        assert application.stdout is not None
        pid = int(application.stdout.readline())
        assert psutil.pid_exists(pid)
        application.kill()
    assert wait_until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
