"""Fetching a model beside the app, with stand-ins for the command line."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.waiting import wait_until
from workbench.screens.shared import fetching


def fetch(monkeypatch: pytest.MonkeyPatch, program: str) -> fetching.Fetch:
    """A fetch that runs `program` in place of the command line, to its end."""
    start = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda command, **options: start([sys.executable, "-c", program], **options))
    running = fetching.Fetch("some-model")
    wait_until(lambda: running.done)
    return running


def test_progress_is_read_from_the_command_line(monkeypatch: pytest.MonkeyPatch):
    done = fetch(monkeypatch, r"import sys; sys.stderr.write('\rsome-model: 3 of 12 MiB\rsome-model: 9 of 12 MiB'); print('{}')")
    assert done.share == 0.75
    assert done.error is None


def test_a_refusal_arrives_as_it_was_worded(monkeypatch: pytest.MonkeyPatch):
    refusal = {"error": {"given": "No network.", "expected": "", "fix": "Connect."}}
    done = fetch(monkeypatch, f"import json, sys; print(json.dumps({refusal})); sys.exit(2)")
    assert (done.error.given, done.error.fix) == ("No network.", "Connect.")


def test_a_killed_fetch_is_an_error_too(monkeypatch: pytest.MonkeyPatch):
    done = fetch(monkeypatch, "import os, sys; print('out of luck', file=sys.stderr, flush=True); os.kill(os.getpid(), 9)")
    assert "out of luck" in done.error.given
