"""Fine-tuning and evaluating from the terminal, through the real store and the real engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.core.tasks.encoders import encoder
from workbench.store import Store
from workbench.terminal.cli import main


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    encoder(tmp_path / "enc")
    (tmp_path / "films.csv").write_text("text,label\n" + "".join(f"the film was {word} {number},{word}\n" for number in range(15)
                                                                 for word in ("good", "bad")))
    path = tmp_path / "films.yaml"
    path.write_text(yaml.safe_dump({
        "name": "films", "student": {"model": str(tmp_path / "enc")}, "task": {"source": str(tmp_path / "films.csv"), "max_length": 16},
        "train": {"max_steps": 2, "device": "cpu", "precision": "fp32"}}))
    return str(path)


def test_distil_a_task_then_evaluate_and_teach(recipe, tmp_path, capsys) -> None:
    assert main(["distill", recipe, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["status"] == "finished" and document["metrics"]["student_after"]["items"] > 0
    run = Store().run("films")
    assert run.config.task.source == str(tmp_path / "films.csv") and (run.output_dir / "model.safetensors").is_file()

    assert main(["show", "films", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["latest_metrics"]["student"]["eval/accuracy"] >= 0
    assert main(["models", "--json"]) == 0
    assert {"name": "films", "task": "classification"}.items() <= {
        key: value for entry in json.loads(capsys.readouterr().out) if entry["name"] == "films" for key, value in entry.items()}.items()

    assert main(["evaluate", "films", "--json"]) == 0
    measured, = json.loads(capsys.readouterr().out)
    assert measured["metrics"]["accuracy"] == document["metrics"]["student_after"]["accuracy"]
    assert (measured["model"], measured["headline"], measured["unit"]) == ("films", "accuracy", "items")
    assert main(["evaluate", "films"]) == 0
    table = capsys.readouterr().out
    assert table.startswith("MODEL  TASK") and "recall_good" in table

    assert main(["distill", recipe, "--name", "distilled", "--set", "teacher.model=films", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["teacher"]["name"] == "films" and Store().run("distilled").parents == {"films": f"{run.id}:student"}


def test_what_cannot_be_evaluated_is_one_message(recipe, tmp_path, capsys) -> None:
    assert main(["evaluate", str(tmp_path / "enc"), "--tasks", "rt", "--json"]) == 2
    captured = capsys.readouterr()
    assert "has no head for 'rt'" in json.loads(captured.out)["error"]["given"] and "Measuring" not in captured.err
    for task in ("rtt", "rtt.csv"):
        assert main(["evaluate", str(tmp_path / "enc"), "--tasks", task]) == 2
        error = capsys.readouterr().err
        assert f"'{task}'" in error and "Measuring" not in error
        assert ("Did you mean rt?" in error) == (task == "rtt")
    assert main(["evaluate", "nobody-here"]) == 2
    assert "There is no model 'nobody-here'" in capsys.readouterr().err


def test_a_task_that_cannot_begin_leaves_nothing(recipe, capsys) -> None:
    assert main(["distill", recipe, "--set", "task.label_column=lable"]) == 2
    assert "Did you mean --set task.label_column=label?" in capsys.readouterr().err
    assert main(["submit", recipe, "--set", "task.source=missing.csv"]) == 2
    assert Store().runs() == []
