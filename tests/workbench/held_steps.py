"""Runs in processes of their own that are held at a step: caught in mid-way on a machine of any speed, and nothing computed meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def held_at(step: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Hold the runs of this test once they have taken so many steps, for as long as the file that is returned is there."""
    file = folder / "held"
    file.touch()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(Path(__file__).parent / "held"), os.environ.get("PYTHONPATH")))))
    monkeypatch.setenv("HELD_AT", str(step))
    monkeypatch.setenv("HELD_WHILE", str(file))
    return file
