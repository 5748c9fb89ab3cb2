"""A teacher's server for tests: a process of its own that can be killed and started again at its port.

It is forked from one that has imported the engine: importing it takes longer than most of what such a test does.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.ranks import context
from tests.waiting import PATIENCE, wait_until


class TeacherProcess:
    """`python -m workbench serve-teacher MODEL`, answering.

    Args:
        log: where its output goes.
        port: 0 for any free one; it is kept when the server is started again.

    Attributes:
        url: its address.
    """

    def __init__(self, model: Path, log: Path, environment: Mapping[str, str] | None = None, port: int = 0) -> None:
        self.model, self.log, self.environment = model, log, environment or {}
        self.start(port)

    def start(self, port: int) -> None:
        """Start the process and wait until it answers."""
        words = ("serve-teacher", str(self.model), "--port", str(port), "--precision", "fp32")
        self.log.write_bytes(b"")
        self.process = context.Process(target=_serve, args=(words, self.log, {**os.environ, **self.environment}))
        self.process.start()
        self.url = wait_until(self._address, lambda: f"the server's address in its log:\n{self.log.read_text()}")[0]

    def _address(self) -> re.Match[str] | None:
        assert self.process.is_alive(), f"the server did not start:\n{self.log.read_text()}"
        return re.search(r"http://[\w.:\[\]]+", self.log.read_text())

    @property
    def port(self) -> int:
        """The port that it took."""
        return int(self.url.rpartition(":")[2])

    def kill(self) -> None:
        """End it as a crash does."""
        self.process.kill()
        self._wait()

    def end(self) -> int:
        """End it in order, and return its exit code."""
        if self.process.is_alive():
            os.kill(self.process.pid, signal.SIGTERM)
        return self._wait()

    def _wait(self) -> int:
        self.process.join(PATIENCE)
        assert self.process.exitcode is not None, f"the server did not end in {PATIENCE:g} s:\n{self.log.read_text()}"
        return self.process.exitcode


def _serve(words: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
    """Run the command line as a process of its own would, its output in a file."""
    from workbench.__main__ import run

    with log.open("w") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["workbench", *words]
    code = run()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # as in `tests/ranks.py`: no interpreter is torn down around torch's threads
