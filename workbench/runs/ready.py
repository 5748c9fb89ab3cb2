"""A worker that is started ahead of its run: it has imported the engine's libraries, six seconds of a processor, and waits.

It waits at its standard input for one line that names a run, and ends when that is closed: with the app that keeps it. What it prints from
then on is the run's log. Only one waits at a time, only while no run is active, and only where enough memory is free.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from core.system import machine
from workbench.processes import detached_environment, start_detached

ALREADY_READ = ("CUDA_", "HIP_", "NVIDIA_", "OMP_", "MKL_", "OPENBLAS_", "KMP_", "TORCH", "PYTORCH_", "HF_", "TRANSFORMERS_", "TOKENIZERS_",
                "PYTHON", "LD_", "STILLHOUSE_HOME")  # prefixes of variables that imports and libraries look at once
SETTLE_SECONDS = 3.0  # that the app gets for itself before a worker is started ahead


class ReadyWorker:
    """At most one waiting worker.

    Args:
        command: starts a worker that waits.
        environment: of its process; a run for which a variable of ALREADY_READ differs gets a new process.
        memory: bytes that must be free for it; 0: none is kept.
        log: what it prints before it has a run.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], memory: int, log: Path) -> None:
        self._command, self._environment, self._memory, self._log = tuple(command), detached_environment(environment), memory, log
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._not_before = time.monotonic() + SETTLE_SECONDS

    def tend(self, idle: Callable[[], bool]) -> None:
        """Start one where none waits, end one where memory is short. Raises OSError where none can be started.

        Args:
            idle: whether no run is active.
        """
        if not self._memory or time.monotonic() < self._not_before:
            return
        with self._lock:
            waits = self._process is not None and self._process.poll() is None
            free = machine.memory_available()
            if waits and free < self._memory // 2:
                self._end()
            elif not waits and free >= self._memory and idle():
                self._end()
                self._not_before = time.monotonic() + SETTLE_SECONDS  # one that ends at once is not started again and again
                self._log.parent.mkdir(parents=True, exist_ok=True)
                self._process = start_detached(self._command, self._log, self._environment, waits=True)

    def take(self, run_id: str, store: Path, log: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes] | None:
        """Give the waiting worker a run, and return its process; None where none waits, or not in such an environment."""
        with self._lock:
            process = self._process
            if process is None or process.stdin is None:
                return None
            if process.poll() is not None:
                self._end()
                return None
            environment = detached_environment(environment)
            if _read(environment) != _read(self._environment):
                return None
            self._process = None
            given = {"run": run_id, "store": str(store), "log": str(log), "environment": environment}
            try:
                process.stdin.write(f"{json.dumps(given)}\n".encode())
                process.stdin.close()
            except OSError:  # it has just ended
                with contextlib.suppress(OSError):
                    process.stdin.close()
                return None
            return process

    def close(self) -> None:
        """End the one that waits."""
        self._memory = 0
        with self._lock:
            self._end()

    def _end(self) -> None:
        if self._process is not None:
            if self._process.stdin is not None:
                self._process.stdin.close()
            self._process.terminate()
            self._process.wait()
            self._process = None


def _read(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(ALREADY_READ)}


def await_run(prepare: Callable[[], object] | None = None) -> tuple[str, Path] | None:
    """Wait in a worker for its run, and return the run's id and the store; None where there will be none.

    Output then goes to the run's log.

    Args:
        prepare: called before the wait.
    """
    if prepare is not None:
        prepare()
    line = sys.stdin.readline()
    if not line:
        return None
    given = json.loads(line)
    for name in os.environ.keys() - given["environment"].keys():
        del os.environ[name]
    os.environ.update(given["environment"])
    log = os.open(given["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    sys.stdout.flush()
    sys.stderr.flush()
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
    return given["run"], Path(given["store"])


def import_engine() -> None:
    """Import what a run imports before its first step: the engine, and the code of the house models."""
    import core.methods.distillation  # noqa: F401 - what is imported here is not imported later
