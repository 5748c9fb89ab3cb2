"""A teacher's server as a user starts it, for tests: a process of its own that can be killed and started again at its port."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.waiting import PATIENCE, wait_until

ROOT = Path(__file__).resolve().parents[1]


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
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "workbench", "serve-teacher", str(self.model), "--port", str(port), "--precision", "fp32"], cwd=ROOT,
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **self.environment})
        self.url = wait_until(self._address, lambda: f"the server's address in its log:\n{self.log.read_text()}")[0]

    def _address(self) -> re.Match[str] | None:
        assert self.process.poll() is None, f"the server did not start:\n{self.log.read_text()}"
        return re.search(r"http://[\w.:\[\]]+", self.log.read_text())

    @property
    def port(self) -> int:
        """The port that it took."""
        return int(self.url.rpartition(":")[2])

    def kill(self) -> None:
        """End it as a crash does."""
        self.process.kill()
        self.process.wait(PATIENCE)

    def end(self) -> int:
        """End it in order, and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)
