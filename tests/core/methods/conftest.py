"""What tests of methods share."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.data import movie_reviews
from tests.core.chat_models import save_chat_model


@pytest.fixture(scope="session")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chat model of three layers, which nobody changes."""
    return save_chat_model(tmp_path_factory.mktemp("teacher") / "teacher", layers=3, positions=64)


@pytest.fixture
def few_reviews(monkeypatch: pytest.MonkeyPatch) -> None:
    held_out = movie_reviews.held_out
    monkeypatch.setattr(movie_reviews, "held_out", lambda split, limit=None: held_out(split, 20))
