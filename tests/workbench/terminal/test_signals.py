"""The verb that keeps teachers' answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.methods import building_signals
from core.recorder import StopRequested
from tests.core.chat_models import save_chat_model
from workbench.terminal import cli


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    text = tmp_path / "text.jsonl"
    text.write_text("".join(json.dumps({"text": f"A quiet film number {number} with a very good script."}) + "\n" for number in range(30)))
    path = tmp_path / "a-recipe.yaml"
    path.write_text(yaml.safe_dump({
        "teacher": {"model": str(save_chat_model(tmp_path / "teacher", layers=2, positions=64))}, "student": {"layers": 1},
        "data": {"source": str(text), "block_length": 24}, "evaluation": {"eval_steps": 9, "blocks": 1, "prompts": []},
        "train": {"max_steps": 2, "per_device_train_batch_size": 4, "device": "cpu", "precision": "fp32"}}))
    return str(path)


def test_build_list_show_delete_restore(recipe: str, run_json: Callable[..., tuple[int, Any]], capsys: pytest.CaptureFixture[str]):
    assert run_json("signals", "list") == (0, [])
    code, built = run_json("signals", "build", recipe)
    assert code == 0 and built["form"] == "hidden" and built["queried"] == built["blocks"] > 0 and not built["stopped"]
    assert run_json("distill", recipe, "--name", "reader")[1]["signals"]["queried"] == 0
    code, shown = run_json("signals", "show", built["cache"][:6])
    assert (shown["runs"], shown["blocks"], shown["error"]["positions"]) == (["reader"], built["blocks"], built["error"]["positions"])
    assert run_json("signals", "verify", built["cache"])[1]["whole"]
    assert run_json("signals", "delete", built["cache"])[1]["deleted"]
    assert run_json("signals", "list") == (0, []) and len(run_json("signals", "list", "--deleted")[1]) == 1
    assert run_json("signals", "restore", built["cache"])[1]["runs"] == ["reader"]
    capsys.readouterr()
    assert cli.main(["signals", "list"]) == 0
    assert built["cache"] in (listed := capsys.readouterr().out) and "1 runs" in listed
    assert run_json("signals", "delete", built["cache"], "--purge")[0] == 0
    assert run_json("signals", "list", "--deleted") == (0, [])


def test_a_stopped_build_says_how_to_continue(recipe: str, run_json: Callable[..., tuple[int, Any]], monkeypatch: pytest.MonkeyPatch):
    def stopped(config: object, recorder: object, report: Callable[[int, int], None]) -> None:
        report(3, 9)
        raise StopRequested

    monkeypatch.setattr(building_signals, "build_signals", stopped)
    assert run_json("signals", "build", recipe) == (130, {"stopped": True, "blocks": 9, "kept": 3})


@pytest.mark.parametrize(("words", "said"), [(["show"], "needs key"), (["build"], "needs recipe"),
                                             (["show", "abc"], "names no kept answers")])
def test_mistakes(words: list[str], said: str, run_json: Callable[..., tuple[int, Any]]):
    code, document = run_json("signals", *words)
    assert code == 2 and said in document["error"]["given"]
