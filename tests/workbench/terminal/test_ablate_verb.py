"""The verb `ablate`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.studies.ablation import results
from core.studies.ablation import run as ablation_run
from tests.workbench.studies.fake_worker import trained
from workbench.terminal import cli

RunJson = Callable[..., tuple[int, Any]]


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ablation_run, "trained", trained)


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    path = tmp_path / "short.yaml"
    path.write_text("student: {init: random}\nlosses: {w_kd: 4}\n")
    return str(path)


@pytest.fixture
def run_json(capsys: pytest.CaptureFixture[str]) -> RunJson:
    def run(*arguments: str) -> tuple[int, Any]:
        code = cli.main(["ablate", *arguments, "--json"])
        return code, json.loads(capsys.readouterr().out)

    return run


def test_an_ablation_is_one_document(run_json: RunJson, recipe: str) -> None:
    code, document = run_json(recipe, "--seeds", "2", "--set", "losses.w_kd=3")
    assert code == 0
    assert (document["name"], document["seeds"], document["config"]["losses"]["w_kd"]) == ("short", [42, 43], 3.0)
    assert document["differences"]["minus_kd"]["cross_entropy"] == {
        "value": -3.0, "low": -3.0, "high": -3.0, "level": 0.95, "n": 2, "over": "seeds", "method": "student_t"}
    assert document["published"]["glue_points"]["minus_kd"] == -2.96
    folder = results.folders()[0]
    assert results.command_of(folder) == f"python -m workbench ablate {recipe} --set losses.w_kd=3 --seeds 2"


def test_people_get_a_table_and_sentences(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["ablate", recipe, "--seeds", "2"]) == 0
    output = capsys.readouterr()
    assert "without soft targets" in output.out and "-2.96" in output.out and "seeds 42, 43, paired" in output.out
    assert "minus kd, seed 43: 4 of 6 trainings done" in output.err


@pytest.mark.parametrize(("arguments", "words"), [
    (["--seeds", "0"], "--seeds 0"), (["--set", "losses.w_hard=0"], "no part that could be left out"),
    (["--set", "teacher.model=nothing-here"], "nothing-here")])
def test_mistakes_are_reported_and_leave_nothing(run_json: RunJson, recipe: str, arguments: list[str], words: str) -> None:
    code, document = run_json(recipe, *arguments)
    assert code == 2 and words in json.dumps(document["error"])
    assert results.folders() == []
