"""What tests of verbs share."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.workbench.fake_engine import config, engine
from workbench.runs import jobs, worker
from workbench.terminal import cli


@pytest.fixture
def fake_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that only counts, in this process and in workers."""
    monkeypatch.setattr(worker, "run_experiment", engine)
    monkeypatch.setattr(jobs, "WORKER", (sys.executable, "-m", "tests.workbench.fake_engine"))


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[..., str]:
    """Writes a recipe for the fake engine and returns its path."""
    def write(*arguments: Any, **behaviour: Any) -> str:
        path = tmp_path / "a walk.yaml"
        path.write_text(config(*arguments, **behaviour).to_yaml())
        return str(path)

    return write


@pytest.fixture
def run_json(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, Any]]:
    """Runs one command with --json; returns its exit code and the one document on standard output."""
    def run(*arguments: str) -> tuple[int, Any]:
        code = cli.main([*arguments, "--json"])
        return code, json.loads(capsys.readouterr().out)

    return run
