"""What the tests of claims share whose protocols train models."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("claims")


@pytest.fixture
def shared_home(kept: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One home for all: the claims share their models and blocks. Little text is held out."""
    monkeypatch.setattr("core.data.prepare.VALIDATION_ROWS", 200)
    monkeypatch.setenv("STILLHOUSE_HOME", str(kept))
    return kept
