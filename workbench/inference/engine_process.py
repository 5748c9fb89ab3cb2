"""The process in which models answer, and requests to it: started, written to, read by a thread of its own, ended.

It is `workbench.inference.server`. Both sides talk in lines of JSON over its standard input and output (`workbench.inference.wire`),
so there is no port to guard, and each side sees at once when the other is gone.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from core.errors import StillhouseError
from core.system import machine, reach
from core.system.paths import SOURCE
from workbench import paths
from workbench.error_mapping import killed_error
from workbench.inference import wire
from workbench.processes import detached, inherited

STOP_SECONDS = 2.0  # what the process gets to end by itself
# Turns for which a waiting thread of a model keeps its core. By default it does for milliseconds, which beside a training
# run on the same cores makes answers up to thirty times slower; with no turns at all a lone answer takes twice as long.
SPIN = "10000"
LARGEST_LOG = 1 << 20  # bytes; a longer one is truncated when the next process starts


class EngineLostError(StillhouseError):
    """The process in which models answer ended in the middle of something."""


class EngineProcess:
    """A running server and the inboxes of those who wait for its messages."""

    def __init__(self) -> None:
        machine.require_room_for_libraries()
        # What visitors name is read there: the process has the limits of this one.
        limits = {name: os.environ[name] for name in (reach.VARIABLE,) if name in os.environ}
        environment = inherited() | limits | {"GOMP_SPINCOUNT": SPIN, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(SOURCE),
                                              "TQDM_DISABLE": "1"}
        self.ended_for_memory = machine.ended_for_memory()
        with _open_log() as log:
            self._popen = subprocess.Popen([sys.executable, "-m", "workbench.inference.server"], env=environment,
                                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                                           **detached())  # Ctrl-C is the application's; this ends with its pipe
        assert self._popen.stdin is not None and self._popen.stdout is not None  # both are pipes
        self._requests, self._messages = self._popen.stdin, self._popen.stdout
        self._write_lock, self._inbox_lock = threading.Lock(), threading.Lock()
        self._numbers = itertools.count(1)
        self._inboxes: dict[int, queue.SimpleQueue[dict[str, Any]]] = {}
        self.alive = True
        threading.Thread(target=self._read, name="engine messages", daemon=True).start()

    @property
    def pid(self) -> int:
        """Return the number of the process."""
        return self._popen.pid

    def send(self, op: str, arguments: Mapping[str, Any], inbox: queue.SimpleQueue[dict[str, Any]]) -> int:
        """Send a request, whose messages will arrive in the inbox; the last of them is ``lost`` if the process dies.

        Returns:
            The request's number, by which it is cancelled and forgotten.
        """
        number = next(self._numbers)
        with self._inbox_lock:
            self._inboxes[number] = inbox
            if not self.alive:
                inbox.put({"kind": "lost"})
        self._write({"id": number, "op": op, **arguments})
        return number

    def cancel(self, number: int) -> None:
        """Request the end of an answer."""
        self._write({"id": number, "op": "cancel"})

    def release(self) -> None:
        """Request that models that are not in use are dropped."""
        self._write({"id": 0, "op": "release"})

    def forget(self, number: int) -> None:
        """Drop an inbox."""
        with self._inbox_lock:
            self._inboxes.pop(number, None)

    def wait(self) -> int:
        """Return the exit status of a process that is gone, negative for a signal."""
        return self._popen.wait()

    def end(self) -> None:
        """End the process: answers under way have nobody to read them, and while it starts it would not see that its pipe is closed."""
        self._close_requests()
        self._popen.terminate()
        try:
            self._popen.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()

    def _write(self, request: dict[str, Any]) -> None:
        try:
            with self._write_lock:
                wire.send(self._requests, request)
        except (BrokenPipeError, ValueError):  # dead, or closed: the reading thread notifies everyone who waits
            logging.getLogger(__name__).info("The engine process %d takes no more requests.", self.pid)

    def _read(self) -> None:
        for message in wire.receive(self._messages):
            with self._inbox_lock:
                inbox = self._inboxes.get(message["id"])
            if inbox is not None:
                inbox.put(message)
        with self._inbox_lock:
            self.alive = False
            for inbox in self._inboxes.values():
                inbox.put({"kind": "lost"})
        self._popen.wait()
        self._messages.close()
        self._close_requests()

    def _close_requests(self) -> None:
        with self._write_lock, contextlib.suppress(BrokenPipeError):  # a request that a dead process did not take
            self._requests.close()


class Request:
    """A request to an engine process, and the inbox for its messages."""

    def __init__(self, process: EngineProcess, op: str, arguments: Mapping[str, Any]) -> None:
        self._process = process
        self._inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._held: dict[str, Any] | None = None  # read, not yet handed out
        self._number = process.send(op, arguments, self._inbox)

    def cancel(self) -> None:
        """Request the end of an answer; its last message still comes."""
        self._process.cancel(self._number)

    def messages(self) -> Iterator[dict[str, Any]]:
        """Every message to the last, once. Raises what the engine raised, or EngineLostError."""
        last = False
        try:
            while not last:
                message = self._take()
                last = message["kind"] in wire.LAST
                if message["kind"] == "error":
                    raise wire.read_error(message)
                if message["kind"] == "lost":
                    raise EngineLostError(*_exit_message(self._process.wait(), self._process.ended_for_memory))
                yield message
        finally:
            self._process.forget(self._number)
            if not last:
                self.cancel()

    def _take(self) -> dict[str, Any]:
        """Return the next message. A reader that lags behind gets fewer and longer pieces of an answer, not a longer lag."""
        message, self._held = self._held or self._inbox.get(), None
        while message["kind"] == "piece" and not self._inbox.empty():
            following = self._inbox.get()
            if following["kind"] != "piece":
                self._held = following
                break
            message = following | {"text": message["text"] + following["text"]}
        return message


def _open_log() -> BinaryIO:
    path = paths.engine_log()
    path.parent.mkdir(parents=True, exist_ok=True)
    grown = path.exists() and path.stat().st_size > LARGEST_LOG
    return path.open("wb" if grown else "ab")


def _exit_message(status: int, since: int | None) -> tuple[str, str, str]:
    again = "Ask again: a new process starts by itself."
    if status == -signal.SIGKILL:
        killed = killed_error("The process that runs the models", f"Choose a smaller model or close other programs. {again}", since=since)
        return killed.given, killed.expected, killed.fix
    if status < 0:
        return (f"The process that runs the models was ended by the system ({signal.Signals(-status).name}).", "",
                f"{again} Its log is {paths.engine_log()}.")
    return (f"The process that runs the models ended unexpectedly (exit status {status}).", "", f"{again} Its log is {paths.engine_log()}.")
