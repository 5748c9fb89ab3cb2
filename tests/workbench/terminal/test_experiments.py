"""The verbs that carry out experiments, with an engine that only counts."""

from __future__ import annotations

import io
import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.system import ranks
from core.system.paths import PROJECT
from tests.core.chat_models import save_chat_model
from tests.ranks import run_ranks
from tests.workbench.fake_engine import engine
from workbench.runs import worker
from workbench.store import Store
from workbench.terminal import cli

FAKE_CLI = ("import sys; from tests.workbench.fake_engine import engine; "
            "from workbench.runs import worker; from workbench.terminal import cli; "
            "worker.run_experiment = engine; sys.exit(cli.main())")

pytestmark = pytest.mark.usefixtures("fake_engine")


def test_distill_prints_one_document(recipe: Callable[..., str], run_json: Callable[..., tuple[int, Any]]):
    path = recipe(5)
    code, document = run_json("distill", path, "--set", "train.max_steps=3", "--set", "data.column=a b")
    run = Store().run("a-walk")
    assert code == 0
    assert (document["run_id"], document["status"], document["output_dir"]) == (run.id, "finished", str(run.output_dir))
    assert {"metrics", "seconds", "stopped"} <= document.keys()
    assert run.progress.step == 3
    assert shlex.split(document["command"]) == ["python", "-m", "workbench", "distill", path,
                                                "--set", "train.max_steps=3", "--set", "data.column=a b"]
    assert run.device == "cpu"


def test_the_command_repeats_the_run(recipe: Callable[..., str], capsys: pytest.CaptureFixture[str]):
    assert cli.main(["distill", recipe(3), "--set", "train.seed=9", "--name", "walk"]) == 0
    first = Store().run("walk")
    assert cli.main(shlex.split(first.command)[3:]) == 0
    assert Store().run("walk-2").config_hash == first.config_hash
    assert cli.main(["distill", str(first.directory / "recipe.yaml")]) == 0
    assert Store().run("walk-3").config_hash == first.config_hash
    assert "walk-3 finished" in capsys.readouterr().out


def test_the_name_comes_from_the_option_the_recipe_or_the_file(recipe: Callable[..., str], capsys: pytest.CaptureFixture[str]):
    for name, option in ((None, ["--name", "007"]), ("named", []), (None, [])):
        assert cli.main(["distill", recipe(1, name=name), *option]) == 0
    assert [run.name for run in Store().runs()] == ["a-walk", "named", "007"]


def test_progress_goes_to_standard_error(recipe: Callable[..., str], capsys: pytest.CaptureFixture[str]):
    cli.main(["distill", recipe(3)])
    output = capsys.readouterr()
    assert "step 3 of 3" in output.err
    assert "step" not in output.out


def test_what_an_engine_prints_is_not_part_of_the_document(recipe: Callable[..., str], run_json: Callable[..., tuple[int, Any]],
                                                           monkeypatch: pytest.MonkeyPatch):
    def chatty(*arguments: Any, **options: Any) -> dict[str, Any]:
        print("loading ...")
        return replace(engine(*arguments, **options), tokens_per_second=float("nan"), metrics={"control": {"perplexity": float("inf")}})

    monkeypatch.setattr(worker, "run_experiment", chatty)
    code, document = run_json("distill", recipe(1))
    assert code == 0
    assert document["tokens_per_second"] is None, "JSON knows no NaN"
    assert document["metrics"]["control"]["perplexity"] is None


def test_a_failed_run_exits_with_1(recipe: Callable[..., str], capsys: pytest.CaptureFixture[str]):
    path = recipe(5, fail_at=3, error="no memory")
    assert cli.main(["distill", path, "--json"]) == 1
    output = capsys.readouterr()
    document = json.loads(output.out)
    assert (document["status"], document["run_id"]) == ("failed", Store().run("a-walk").id)
    errors = [line for line in output.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "not enough memory" in errors[0]
    assert "Traceback" not in output.err


def test_a_mistake_found_by_the_engine_exits_with_2_and_leaves_nothing(recipe: Callable[..., str], capsys: pytest.CaptureFixture[str]):
    assert cli.main(["distill", recipe(5, fail_at=1, error="mistake")]) == 2
    assert "error: The depth was given as 9." in capsys.readouterr().err
    assert Store().runs(include_deleted=True) == []
    assert list(Store().runs_dir.iterdir()) == []


def test_a_mistake_found_in_mid_run_keeps_the_run(recipe: Callable[..., str], capsys: pytest.CaptureFixture[str]):
    assert cli.main(["distill", recipe(5, fail_at=3, error="mistake")]) == 1
    assert Store().run("a-walk").status == "failed"


def test_ctrl_c_stops_with_a_checkpoint(recipe: Callable[..., str], home: Path):
    process = subprocess.Popen([sys.executable, "-c", FAKE_CLI, "distill", recipe(5000, wait_at=1), "--json"], cwd=PROJECT,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (line := process.stderr.readline()).startswith("  student step 1"):
        assert line, process.communicate()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    run = Store().run("a-walk")
    assert process.returncode == 130, err
    assert json.loads(out)["status"] == run.status == "stopped"
    assert (run.directory / "step").read_text() == str(run.progress.step)
    assert "Traceback" not in err


def test_submit_starts_a_worker_although_no_app_runs(recipe: Callable[..., str], run_json: Callable[..., tuple[int, Any]]):
    code, document = run_json("submit", recipe(5000, wait_at=1))
    store = Store()
    assert code == 0
    assert document["status"] in ("starting", "running")
    assert shlex.split(document["command"])[3] == "distill"
    code, document = run_json("submit", recipe(5), "--name", "second")
    assert document["status"] == "queued"
    assert run_json("stop", "second")[1]["status"] == "stopped"
    assert run_json("stop", "a-walk", "--force")[1]["status"] == "stopped"
    assert run_json("delete", "a-walk")[1]["deleted"]
    assert not store.runs(status=("starting", "running", "stopping"))


def test_chain_refuses_a_recipe_of_one_student(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "one.yaml").write_text("student: {layers: 2}\n")
    assert cli.main(["chain", str(tmp_path / "one.yaml")]) == 2
    assert "describes no chain" in capsys.readouterr().err


def _distill_json(recipe: str, folder: str) -> None:
    """The verb, as torchrun starts it; what it prints to standard output is kept for each process."""
    sys.stdout = io.StringIO()
    assert cli.main(["distill", recipe, "--json"]) == 0
    Path(folder, f"{ranks.rank()}.out").write_text(sys.stdout.getvalue())


def test_processes_that_torchrun_starts_make_one_run(tmp_path: Path) -> None:
    corpus = tmp_path / "reviews.txt"
    corpus.write_text("\n\n".join(f"Film number {n} has a quiet script and {n % 7} good jokes, I think." for n in range(40)))
    plain = {"teacher": {"model": str(save_chat_model(tmp_path / "teacher"))}, "student": {"layers": 1},
             "data": {"source": str(corpus), "block_length": 24, "validation_fraction": 0.2},
             "train": {"max_steps": 2, "per_device_train_batch_size": 2, "device": "cpu", "precision": "fp32"},
             "evaluation": {"blocks": 2, "prompts": [], "sentiment_items": 0}}
    (tmp_path / "pair.yaml").write_text(yaml.safe_dump(plain))
    codes = run_ranks(2, _distill_json, str(tmp_path / "pair.yaml"), str(tmp_path), log=tmp_path / "log")
    assert codes == [0, 0], [(tmp_path / f"log.{rank}").read_text()[-2000:] for rank in (0, 1)]
    assert json.loads((tmp_path / "0.out").read_text())["status"] == "finished" and (tmp_path / "1.out").read_text() == ""
    run, = Store().runs()
    assert run.name == "pair" and Store().metrics(run.id, "student", ["loss"]).step.tolist() == [1, 2]
