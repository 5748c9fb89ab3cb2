"""Sharded models: the losses and the student of one process, one folder that any number of processes resumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from core.config import TrainSpec
from core.errors import CompatibilityError, ConfigError, SetField
from core.methods.shardable import require_one_model
from core.models import catalog
from core.training.checkpoint_folders import latest_checkpoint
from core.training.sharded_checkpoints import is_sharded_checkpoint
from core.training.sharding import any_sharded
from tests.core.chat_models import save_chat_model
from tests.core.methods.test_following import carry_out, compared, recipe, recorded
from tests.ranks import run_ranks

CLOSE = 1e-5


def sharded(plain: dict[str, Any], sharding: str) -> dict[str, Any]:
    return plain | {"train": plain["train"] | {"sharding": sharding}}


def in_each(plain: dict[str, Any], narrow: dict[str, Any], folder: Path) -> None:
    """In each of two processes, which are started once for all: whole runs, one that stops, and one that resumes what one process began."""
    carry_out(sharded(plain, "both"), folder / "both")
    carry_out(sharded(plain, "teacher"), folder / "teacher")
    carry_out(sharded(narrow, "both"), folder / "narrow")
    carry_out(sharded(plain, "both"), folder / "shrinks", stop_after=4)
    carry_out(sharded(plain, "both"), folder / "grows")
    assert not any_sharded(), "the models of a run are forgotten at its end"


def student(folder: Path, variant: str = "student") -> dict[str, Any]:
    return load_file(folder / variant / "model.safetensors")


def test_one_process_begins_no_sharded_run(tmp_path: Path) -> None:
    plain = recipe(tmp_path, save_chat_model(tmp_path / "model"))
    with pytest.raises(ConfigError, match="there is one process") as refused:
        carry_out(sharded(plain, "teacher"), tmp_path / "run")
    assert refused.value.suggestion == SetField("train.sharding", "none")


def test_an_ensemble_is_not_sharded(tmp_path: Path) -> None:
    one, two = (str(save_chat_model(tmp_path / name)) for name in ("one", "two"))
    with pytest.raises(CompatibilityError, match="the teacher is an ensemble"):
        require_one_model(TrainSpec(sharding="teacher"), catalog.load(f"arithmetic({one}, {two})"))


def test_sharded_runs_are_those_of_one_process(tmp_path: Path) -> None:
    plain = recipe(tmp_path, save_chat_model(tmp_path / "model", layers=3))
    plain["evaluation"]["blocks"] = 7  # an odd number of passes
    narrow = plain | {"student": {"layers": 2, "hidden": 32}, "control": False, "losses": {"w_hidden_mse": 1.0}}
    carry_out(plain, tmp_path / "alone")
    carry_out(narrow, tmp_path / "narrow-alone")
    carry_out(plain, tmp_path / "grows", stop_after=4)
    began = recorded(tmp_path / "grows")["rows"]
    codes = run_ranks(2, in_each, plain, narrow, tmp_path, log=tmp_path / "log")
    assert codes == [0, 0], [Path(f"{tmp_path / 'log'}.{rank}").read_text()[-3000:] for rank in (0, 1)]
    stopped, begun = recorded(tmp_path / "shrinks")["rows"], latest_checkpoint(tmp_path / "shrinks" / "checkpoints" / "student")
    assert begun is not None and is_sharded_checkpoint(begun) and not list(begun.glob("model*.safetensors"))
    carry_out(sharded(plain, "both"), tmp_path / "shrinks")  # one process finishes what two began
    for name, rows, alone in (("both", {}, "alone"), ("teacher", {}, "alone"), ("narrow", {}, "narrow-alone"),
                              ("shrinks", stopped, "alone"), ("grows", began, "alone")):
        found, expected = compared(rows | recorded(tmp_path / name)["rows"]), compared(recorded(tmp_path / alone)["rows"])
        assert found == pytest.approx(expected, rel=CLOSE, abs=CLOSE), name
        weights, whole = student(tmp_path / name), student(tmp_path / alone)
        assert weights.keys() == whole.keys()
        far = {key: float((weights[key] - value).abs().max()) for key, value in whole.items()}
        assert max(far.values()) < CLOSE, (name, far)
        files = {each: sorted(path.name for path in (tmp_path / each / "student").iterdir()) for each in (name, alone)}
        assert files[name] == files[alone]
