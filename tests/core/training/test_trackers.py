"""Trackers write beside the checkpoints, which are removed at the end, and one variant's end before the next begins."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import pytest

from core.training.trackers import PLACES, tracked


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for place in PLACES:
        monkeypatch.delenv(place, raising=False)


def test_trackers_write_into_the_folder_and_only_inside(tmp_path):
    with tracked(("tensorboard",), tmp_path / "logs" / "student"):
        assert {os.environ[place] for place in PLACES} == {str(tmp_path / "logs" / "student")}
        assert (tmp_path / "logs" / "student").is_dir()
    assert not set(PLACES) & set(os.environ)


def test_the_users_own_place_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", "elsewhere")
    with tracked(("tensorboard",), tmp_path / "logs"):
        assert os.environ["TENSORBOARD_LOGGING_DIR"] == "elsewhere"
    assert os.environ["TENSORBOARD_LOGGING_DIR"] == "elsewhere"


def test_without_trackers_nothing_is_made(tmp_path):
    with tracked((), tmp_path / "logs"):
        assert not set(PLACES) & set(os.environ)
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize("names", [("wandb",), ("tensorboard",)])
def test_wandb_is_closed_even_when_training_fails(tmp_path, monkeypatch, names):
    ended = []
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(finish=lambda: ended.append(True)))
    with pytest.raises(RuntimeError, match="diverged"), tracked(names, tmp_path):
        raise RuntimeError("diverged")
    assert bool(ended) == ("wandb" in names)
