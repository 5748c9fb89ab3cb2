"""Renders chat templates with limits of length, time and memory, in a process of their own (`core.data.template_renderer`).

A template comes with a model, from whoever made it, and can ask for 10^10 turns of a loop or a text of a gigabyte in one line. The process
that renders may be ended at any moment; the next text is rendered by a new one.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from core.errors import DataError
from core.system.paths import SOURCE

LONGEST_TEMPLATE = 1 << 18  # characters; the longest of known models has about a tenth of that
LONGEST_TEXT = 1 << 23  # characters that a template may write at most
OWN_TEXT, TURN_TEXT, REPEATED = 1 << 16, 1 << 10, 8  # characters of its own, for each message, and how often it may write the messages
SECONDS = 3  # of processor time for one text, which takes a thousandth of one
PATIENCE = 120.0  # seconds for one text, on a machine that is busy with other things or has no limit of processor time
MEMORY = 1 << 28  # bytes
POLL = 0.1  # seconds between two looks whether nobody waits any more
KEPT = 2  # idle processes
SECRETS = ("TOKEN", "PASSWORD", "SECRET", "KEY")  # in names of variables that the process has no use for

_stopped: ContextVar[Callable[[], bool] | None] = ContextVar("stopped", default=None)


class TemplateFailedError(Exception):
    """The template itself failed; the text is what it said."""


@contextlib.contextmanager
def stopped_by(stopped: Callable[[], bool]) -> Iterator[None]:
    """Have the rendering of this thread end when `stopped` returns true."""
    token = _stopped.set(stopped)
    try:
        yield
    finally:
        _stopped.reset(token)


def check(template: object) -> str:
    """Return a template that may be rendered.

    Raises:
        DataError: it is no text, or too long a one.
    """
    if not isinstance(template, str):
        raise DataError(f"The model's chat template is of type {type(template).__name__}.", "A text was expected.",
                        "Correct chat_template in the model's folder, or choose another model.")
    if len(template) > LONGEST_TEMPLATE:
        raise DataError(f"The model's chat template has {len(template):,} characters.", f"At most {LONGEST_TEMPLATE:,} were expected.",
                        "Choose another model.")
    return template


def render_within_limits(messages: Sequence[Mapping[str, Any]], template: str, special_tokens: Mapping[str, Any], *,
                         add_generation_prompt: bool, marked: bool) -> tuple[str, list[tuple[int, int]]]:
    """Return what a template makes of a conversation, and where its ``{% generation %}`` marks stand if it is `marked`.

    Raises:
        TemplateFailedError: the template refuses the conversation, or is no template.
        DataError: it takes too much time or memory, or writes too much.
    """
    longest = longest_text(messages)
    request = {"messages": list(messages), "template": template, "special_tokens": dict(special_tokens), "marked": marked,
               "add_generation_prompt": add_generation_prompt, "characters": longest}
    answer = _processes.answer(request)
    if "error" in answer:
        raise TemplateFailedError(answer["error"])
    if "limit" in answer:
        limit = {"memory": f"more than {MEMORY >> 20} MB of memory", "seconds": f"more than {SECONDS} seconds of processor time",
                 "characters": f"more than {longest:,} characters", "stopped": "time until it was stopped",
                 "process": "its process down"}[answer["limit"]]
        raise DataError(f"The model's chat template takes {limit} for one conversation.",
                        "A template that writes little more than the messages was expected.", "Choose another model.")
    return answer["text"], [(start, end) for start, end in answer["marks"]]


def longest_text(messages: Sequence[Mapping[str, Any]]) -> int:
    """Return how many characters a template may make of a conversation: tokenising millions of them takes a minute."""
    said = sum(len(message["content"]) for message in messages if isinstance(message.get("content"), str))
    return min(OWN_TEXT + TURN_TEXT * len(messages) + REPEATED * said, LONGEST_TEXT)


class _StoppedError(Exception):
    """Nobody waits for a process that is starting."""


class _Process:
    """One process that renders, and the thread that reads its answers."""

    def __init__(self) -> None:
        environment = {name: value for name, value in os.environ.items() if not any(word in name.upper() for word in SECRETS)}
        self._popen = subprocess.Popen([sys.executable, "-m", "core.data.template_renderer"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       stderr=subprocess.DEVNULL, start_new_session=True, env={**environment, "PYTHONPATH": str(SOURCE)})
        assert self._popen.stdin is not None and self._popen.stdout is not None  # both are pipes
        self._requests, self._answers = self._popen.stdin, self._popen.stdout
        self._inbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._read, name="chat template", daemon=True).start()
        self._send({"memory": MEMORY, "seconds": SECONDS})

    def begin(self) -> None:
        """Wait until it is ready. Raises DataError if it cannot be, and _StoppedError if nobody waits any more."""
        answer = self._receive()
        if answer.get("limit") == "stopped":
            raise _StoppedError
        if "ready" not in answer:
            raise DataError("The process that renders chat templates did not start.", "A process with 300 MB of memory was expected.",
                            "Close other programs, then try again.")

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to a request; after one with ``limit`` in it the process is of no use any more."""
        self._send(request)
        return self._receive()

    def end(self) -> None:
        """End the process, whatever it is doing."""
        self._popen.kill()
        self._popen.wait()
        with contextlib.suppress(OSError):  # a request that it did not take
            self._requests.close()

    def _send(self, message: Mapping[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has ended, as the answer will say
            self._requests.write(json.dumps(message, default=_placeholder).encode() + b"\n")
            self._requests.flush()

    def _receive(self) -> dict[str, Any]:
        stopped, until = _stopped.get(), time.monotonic() + PATIENCE
        while time.monotonic() < until:
            if stopped is not None and stopped():
                return {"limit": "stopped"}
            with contextlib.suppress(queue.Empty):
                line = self._inbox.get(timeout=POLL)
                answer: dict[str, Any] = json.loads(line) if line else {"limit": self._end_reason()}
                return answer
        return {"limit": "seconds"}

    def _end_reason(self) -> str:
        """Return which limit the process met when the system ended it."""
        time_up = getattr(signal, "SIGXCPU", None)
        return "seconds" if time_up is not None and self._popen.wait() == -time_up else "process"

    def _read(self) -> None:
        with self._answers:
            for line in self._answers:
                self._inbox.put(line)
        self._inbox.put(b"")


class _Processes:
    """The processes of this one: as many as texts are rendered at once, of which a few are kept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Process] = []
        self._owner = os.getpid()

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Have a request answered; whatever happens, no process is left that is busy with it."""
        try:
            process, reusable = self._take(), False
        except _StoppedError:
            return {"limit": "stopped"}
        try:
            answer = process.answer(request)
            reusable = "limit" not in answer
            return answer
        finally:
            self._give_back(process, reusable)

    def end(self) -> None:
        """End those that are idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for process in idle if self._owner == os.getpid() else ():
            process.end()

    def _take(self) -> _Process:
        with self._lock:
            if self._owner != os.getpid():  # forked: the pipes are the parent's
                self._idle, self._owner = [], os.getpid()
            if self._idle:
                return self._idle.pop()
        process = _Process()
        try:
            process.begin()
        except BaseException:
            process.end()
            raise
        return process

    def _give_back(self, process: _Process, reusable: bool) -> None:
        with self._lock:
            if reusable and len(self._idle) < KEPT:
                self._idle.append(process)
                return
        process.end()


def _placeholder(value: object) -> str:
    return f"<{type(value).__name__}>"  # as transformers shows a template what is no plain data


_processes = _Processes()
atexit.register(_processes.end)
