"""Trackers write beside the checkpoints, which are removed at the end, and one variant's end before the next begins."""

from __future__ import annotations

import json
import os
import sys
from types import SimpleNamespace

import pytest

from core.training.trackers import GROUP, PLACES, grouped, tracked


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (*PLACES, GROUP, "WANDB_RUN_GROUP", "MLFLOW_TAGS", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"):
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


def test_a_sweep_is_the_group_of_each_tracker_that_is_reported_to_and_only_inside(tmp_path, monkeypatch):
    began = []
    monkeypatch.setitem(sys.modules, "trackio", trackio := SimpleNamespace(init=lambda **given: began.append(given)))
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(finish=lambda: None))
    own = trackio.init
    with grouped("my-sweep"), tracked(("wandb", "mlflow", "trackio"), tmp_path):
        trackio.init(project="huggingface")
        assert os.environ["WANDB_RUN_GROUP"] == os.environ["MLFLOW_EXPERIMENT_NAME"] == "my-sweep"
        assert json.loads(os.environ["MLFLOW_TAGS"]) == {"group": "my-sweep"}
    assert began == [{"project": "huggingface", "group": "my-sweep"}]
    assert trackio.init is own
    assert not {"WANDB_RUN_GROUP", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_TAGS", GROUP} & set(os.environ)


def test_a_group_that_the_user_names_stays_and_tags_are_added_to(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_RUN_GROUP", "mine")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "7")
    monkeypatch.setenv("MLFLOW_TAGS", '{"who": "me"}')
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(finish=lambda: None))
    with grouped("my-sweep"), tracked(("wandb", "mlflow"), tmp_path):
        assert os.environ["WANDB_RUN_GROUP"] == "mine"
        assert "MLFLOW_EXPERIMENT_NAME" not in os.environ
        assert json.loads(os.environ["MLFLOW_TAGS"]) == {"group": "my-sweep", "who": "me"}
    assert os.environ["MLFLOW_TAGS"] == '{"who": "me"}'


def test_what_a_tracker_leaves_in_the_environment_is_not_for_the_next_run(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(finish=lambda: None))
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    with tracked(("wandb",), tmp_path):
        os.environ["WANDB_SERVICE"] = "3-1-unix-/tmp/socket"  # as wandb does: a worker that is started from this process would inherit it
        os.environ["WANDB_PROJECT"] = "other"
    assert "WANDB_SERVICE" not in os.environ
    assert os.environ["WANDB_PROJECT"] == "mine"


def test_a_run_of_no_sweep_has_no_group(tmp_path):
    with grouped(None), tracked(("tensorboard", "mlflow"), tmp_path):
        assert not {"WANDB_RUN_GROUP", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_TAGS", GROUP} & set(os.environ)
