"""Scripts and notebooks: run without the app, they come to what the app's engine comes to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.config import ExperimentConfig
from core.methods import run_experiment
from core.models import catalog
from core.recipes import parse_recipe
from core.recorder import ListRecorder
from tests.core.chat_models import save_chat_model
from workbench.sharing import scripts


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> ExperimentConfig:
    teacher = save_chat_model(tmp_path_factory.mktemp("models") / "tiny", layers=4)
    text = tmp_path_factory.mktemp("data") / "text.txt"
    text.write_text("\n".join(f"The film number {number} was quite good, and then it was not." for number in range(80)))
    return parse_recipe({"name": "shared", "description": 'with "quotes" and a \\ stroke', "teacher": {"model": str(teacher)},
                         "student": {"layers": 2}, "data": {"source": str(text), "block_length": 16}, "control": False,
                         "train": {"max_steps": 2, "per_device_train_batch_size": 2, "device": "cpu"},
                         "evaluation": {"blocks": 2, "eval_steps": 2, "prompts": []}})


@pytest.fixture(scope="module")
def metrics(config: ExperimentConfig, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    report: Any = run_experiment(config, ListRecorder(), tmp_path_factory.mktemp("run") / "run", load=catalog.load)
    return report.metrics


def cells(config: ExperimentConfig) -> str:
    return "\n".join("".join(cell["source"]) for cell in json.loads(scripts.notebook(config))["cells"] if cell["cell_type"] == "code")


@pytest.mark.parametrize("text", [scripts.script, cells])
def test_it_runs_the_same_without_the_app(text: Any, config: ExperimentConfig, metrics: dict[str, Any], tmp_path: Path,
                                          monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(text(config), "shared.py", "exec"), scope)
    assert scope["config"] == config
    assert scope["report"].metrics["student_after"] == pytest.approx(metrics["student_after"], abs=1e-3)
    assert "student_after" in capsys.readouterr().out


def test_the_notebook_is_one(config: ExperimentConfig):
    plain = json.loads(scripts.notebook(config))
    assert (plain["nbformat"], plain["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in plain["cells"]}) == len(plain["cells"])
    assert all(("outputs" in cell) == (cell["cell_type"] == "code") for cell in plain["cells"])
