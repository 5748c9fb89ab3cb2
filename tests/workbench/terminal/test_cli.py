from __future__ import annotations

import errno
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core import __version__
from core.config import ExperimentConfig, read_recipe
from core.evaluation.blanks import fill_blanks
from tests.core.chat_models import save_chat_model
from tests.core.export.encoders import save_encoder
from tests.core.masked_models import classifier, masked_model, masked_tokenizer, save
from tests.workbench.fake_engine import config, engine
from workbench import serve
from workbench.paths import ROOT
from workbench.runs import jobs, worker
from workbench.store import Store
from workbench.terminal import cli
from workbench.terminal.settings_help import settings

FAKE_CLI = ("import sys; from tests.workbench.fake_engine import engine; "
            "from workbench.runs import worker; from workbench.terminal import cli; "
            "worker.engine_for = lambda _: engine; sys.exit(cli.main())")

ENGINE = worker.engine_for  # the real one


@pytest.fixture(autouse=True)
def fake_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "engine_for", lambda _: engine)
    monkeypatch.setattr(jobs, "WORKER", (sys.executable, "-m", "tests.workbench.fake_engine"))


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[..., str]:
    """Writes a recipe for the fake engine and returns its path."""
    def write(*arguments: Any, **behaviour: Any) -> str:
        path = tmp_path / "a walk.yaml"
        path.write_text(config(*arguments, **behaviour).to_yaml())
        return str(path)

    return write


@pytest.fixture
def run_json(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, Any]]:
    """Runs one command with --json; returns its exit code and the one document on standard output."""
    def run(*arguments: str) -> tuple[int, Any]:
        code = cli.main([*arguments, "--json"])
        return code, json.loads(capsys.readouterr().out)

    return run


# ------------------------------------------------------------------------------------------------ experiments


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
        return {**engine(*arguments, **options), "tokens_per_second": float("nan"), "metrics": {"control": {"perplexity": float("inf")}}}

    monkeypatch.setattr(worker, "engine_for", lambda _: chatty)
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
    process = subprocess.Popen([sys.executable, "-c", FAKE_CLI, "distill", recipe(5000, pause=0.01), "--json"], cwd=ROOT,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (line := process.stderr.readline()).startswith("  student step 1"):
        assert line, process.communicate()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    run = Store().run("a-walk")
    assert process.returncode == 130
    assert json.loads(out)["status"] == run.status == "stopped"
    assert (run.directory / "step").read_text() == str(run.progress.step)
    assert "Traceback" not in err


def test_submit_starts_a_worker_although_no_app_runs(recipe: Callable[..., str], run_json: Callable[..., tuple[int, Any]]):
    code, document = run_json("submit", recipe(5000, pause=0.01))
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


# ------------------------------------------------------------------------------------------------ runs


def test_runs_show_delete_restore(recipe: Callable[..., str], run_json: Callable[..., tuple[int, Any]], capsys: pytest.CaptureFixture[str]):
    assert run_json("runs") == (0, [])
    run_id = run_json("distill", recipe(3))[1]["run_id"]
    assert [run["run_id"] for run in run_json("runs")[1]] == [run_id]
    code, shown = run_json("show", run_id[:-1])
    assert (code, shown["config"]["train"]["max_steps"], shown["latest_metrics"]["student"]["loss"]) == (0, 3, 1 / 3)
    assert shown["report"]["stopped"] is False
    assert cli.main(["show", "a-walk"]) == 0
    assert "python -m workbench distill" in capsys.readouterr().out
    assert cli.main(["runs"]) == 0
    assert "3/3" in capsys.readouterr().out
    assert run_json("delete", "a-walk")[0] == 0
    assert run_json("runs")[1] == []
    assert len(run_json("runs", "--deleted")[1]) == 1
    code, document = run_json("delete", "a-walk")
    assert code == 2 and "in the bin already" in document["error"]["given"] and "--purge" in document["error"]["fix"]
    assert run_json("restore", "a-walk")[1]["deleted"] is None
    code, document = run_json("restore", "a-walk")
    assert code == 2 and document["error"]["given"] == "The run 'a-walk' is not in the bin."
    assert run_json("delete", "a-walk", "--purge")[1]["purged"]
    assert run_json("show", "a-walk")[0] == 2


def test_a_run_of_the_bin_is_removed_for_good(recipe: Callable[..., str], run_json: Callable[..., tuple[int, Any]]):
    run_json("distill", recipe(1))
    run_json("delete", "a-walk")
    assert run_json("delete", "a-walk", "--purge")[1]["purged"]
    assert run_json("runs", "--deleted")[1] == []


def test_the_release_is_told(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"Stillhouse {__version__}\n"


def test_deleting_a_running_run_asks_to_stop_it(recipe: Callable[..., str], run_json: Callable[..., tuple[int, Any]]):
    run_json("submit", recipe(5000, pause=0.01))
    code, document = run_json("delete", "a-walk")
    assert code == 2
    assert "workbench stop a-walk" in document["error"]["fix"]
    run_json("stop", "a-walk", "--force")


def test_a_lost_run_is_shown_as_lost_and_resumed(recipe: Callable[..., str], run_json: Callable[..., tuple[int, Any]]):
    run_json("submit", recipe(5000, pause=0.01))
    store = Store()
    while (process := store.run("a-walk").process) is None or store.run("a-walk").status != "running":
        pass
    process.kill()
    assert run_json("runs")[1][0]["status"] == "lost"
    assert run_json("resume", "a-walk")[1]["status"] == "starting"
    run_json("stop", "a-walk", "--force")


def test_a_closed_pipe_is_no_error(recipe: Callable[..., str]):
    command = f"{shlex.quote(sys.executable)} -m workbench models | head -c 1"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


# ------------------------------------------------------------------------------------------------ mistakes


MISTAKES = {
    "no such recipe": (["distill", "no-such.yaml"], "no-such.yaml"),
    "unknown key": (["distill", "{recipe}", "--set", "losses.temprature=2"], "Did you mean 'losses.temperature'"),
    "depth 0": (["distill", "{recipe}", "--set", "student.fresh=null", "--set", "student.layers=0"], "student.layers was given as 0"),
    "temperature 0": (["distill", "{recipe}", "--set", "losses.temperature=0"], "losses.temperature was given as 0"),
    "temperature below 0": (["distill", "{recipe}", "--set", "losses.temperature=-1"], "losses.temperature was given as -1"),
    "no weight at all": (["distill", "{recipe}", "--set", "losses.w_hard=0"], "all loss weights are zero|All loss weights are zero"),
    "a negative weight": (["distill", "{recipe}", "--set", "losses.w_hard=-1"], "losses.w_hard"),
    "not a setting": (["distill", "{recipe}", "--set", "seed"], "section.key=value"),
    "path in a name": (["distill", "{recipe}", "--name", "../../etc/passwd"], "name was given"),
    "unknown teacher": (["submit", "{recipe}", "--set", "teacher.model=smollm2-135m-instrukt", "--set", "student.fresh=null"],
                        "Did you mean smollm2-135m-instruct"),
    "unknown run": (["show", "../../etc/passwd"], "There is no run"),
    "no runs": (["runs", "--limit", "0"], "--limit 0 was given. 1 or more were expected"),
    "fewer than no runs": (["runs", "--limit", "-3"], "--limit -3 was given"),
    "unknown verb": (["frobnicate"], "frobnicate"),
    "missing argument": (["show"], "See: python -m workbench show --help"),
    "unknown model": (["generate", "no-such-model", "--prompt", "Hello"], "no-such-model"),
    "not a number": (["generate", "house-chat", "--prompt", "Hello", "--seed", "many"], "many"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_one_message_and_exit_code_2(mistake: str, recipe: Callable[..., str], capsys: pytest.CaptureFixture[str]):
    arguments, expected = MISTAKES[mistake]
    arguments = [argument.format(recipe=recipe(3)) for argument in arguments]
    assert cli.main(arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("error: ")
    assert any(part in output.err for part in expected.split("|"))
    assert "Traceback" not in output.err
    assert output.err.count("\n") == 1
    assert Store().runs(include_deleted=True) == [], "nothing half-created"


def _no_usable_column(folder: Path) -> list[str]:
    (folder / "table.csv").write_text("height,width\n1,2\n3,4\n")
    return ["data.source={folder}/table.csv"]


def _text(content: bytes) -> Callable[[Path], list[str]]:
    def write(folder: Path) -> list[str]:
        (folder / "text.txt").write_bytes(content)
        return ["data.source={folder}/text.txt"]

    return write


def _teacher(spoil: Callable[[Path], None], *settings: str) -> Callable[[Path], list[str]]:
    def write(folder: Path) -> list[str]:
        spoil(save_chat_model(folder / "teacher"))
        return ["teacher.model={folder}/teacher", "student.fresh=null", "student.layers=1", *settings]

    return write


def _truncate(model: Path) -> None:
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def _pickle(model: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")


UNUSABLE = {
    "a device that is not there": (lambda folder: ["train.device=cuda:63"], "The device 'cuda:63' was asked for"),
    "corrupt weights": (_teacher(_truncate), "Its header describes"),
    "a pickle checkpoint": (_teacher(_pickle), "pickle"),
    "depth above the teacher's": (_teacher(lambda model: None, "student.layers=9"), "A student of 9 blocks was asked for"),
    "no network for the teacher": (lambda folder: ["teacher.model=nobody/nothing", "student.fresh=null"], "the hub cannot be reached"),
    "an empty file": (_text(b""), "text.txt"),
    "a file that is not UTF-8": (_text("Ein schöner Film.".encode("latin-1")), "UTF-8"),
    "no usable column": (_no_usable_column, "height"),
    "a file that is not there": (lambda folder: ["data.source={folder}/absent.txt"], "absent.txt"),
    "the home of a user who is not there": (lambda folder: ["data.source=~no-such-user/text.txt"], "no-such-user"),
    "a stream without an end": (lambda folder: ["data.source=somebody/web", "data.streaming=true"], "data.max_rows"),
}


def refused(verb: str, recipe: str, folder: Path, changes: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run the command that cannot work; its one line, after a look whether anything was left behind."""
    settings = [argument for change in changes for argument in ("--set", change.format(folder=folder))]
    assert cli.main([verb, recipe, *settings]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert "Traceback" not in output.err
    assert Store().runs(include_deleted=True) == []
    assert not Store().runs_dir.exists() or list(Store().runs_dir.iterdir()) == [], "nothing half-created"
    return next(line for line in output.err.splitlines() if line.startswith("error: "))


@pytest.mark.parametrize("verb", ["distill", "submit"])
@pytest.mark.parametrize("unusable", UNUSABLE)
def test_what_cannot_be_used_is_refused_before_anything_is_made(unusable: str, verb: str, recipe: Callable[..., str], tmp_path: Path,
                                                                capsys: pytest.CaptureFixture[str]):
    prepare, expected = UNUSABLE[unusable]
    assert expected in refused(verb, recipe(3), tmp_path, prepare(tmp_path), capsys)


def test_text_shorter_than_a_block_leaves_nothing(recipe: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                  monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(worker, "engine_for", ENGINE)
    changes = [*_teacher(lambda model: None, "losses.w_kd=1", "data.block_length=512")(tmp_path), *_text(b"Short.\n\nToo short.")(tmp_path)]
    assert "block" in refused("distill", recipe(3), tmp_path, changes, capsys)


def test_a_mistake_with_json_is_one_document(run_json: Callable[..., tuple[int, Any]]):
    code, document = run_json("show", "nothing")
    assert code == 2
    assert document == {"error": {"given": "There is no run 'nothing'.", "expected": "A run's id or name was expected.",
                                  "fix": "See: python -m workbench runs"}}


@pytest.mark.parametrize(("number", "said"), [(errno.ENOSPC, "is full"), (errno.EROFS, "read-only"), (errno.EACCES, "permission denied")])
def test_a_disk_that_refuses_gets_a_message(number: int, said: str, recipe: Callable[..., str], capsys: pytest.CaptureFixture[str],
                                            monkeypatch: pytest.MonkeyPatch):
    def refuse(*_arguments: Any, **_options: Any) -> None:
        raise OSError(number, os.strerror(number), "somewhere")

    path = recipe(3)
    Store()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", refuse)
        assert cli.main(["submit", path]) == 2
    monkeypatch.setattr(Store, "runs", refuse)
    assert cli.main(["runs"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2
    assert all(line.startswith("error: ") for line in errors)
    assert os.strerror(number).lower() in errors[0]
    assert said in errors[1]


def test_a_home_that_is_a_file_gets_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STILLHOUSE_HOME", str(tmp_path / "file"))
    assert cli.main(["runs"]) == 2
    assert "STILLHOUSE_HOME" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------ help and weight


def test_every_setting_is_in_the_help_of_distill(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["distill", "--help"])
    text = capsys.readouterr().out
    assert exit_.value.code == 0
    for key in ("losses.temperature", "student.lora.rank", "train.max_steps", "control"):
        assert f"\n  {key}\n" in text
    assert "number above 0; T of the soft targets" in text
    assert "(default: 2.0)" in text


def test_settings_are_the_configuration(recipe: Callable[..., str]):
    known = {key: default for key, _, default in settings()}
    plain = ExperimentConfig().to_dict()
    assert known["losses.w_kd"] == plain["losses"]["w_kd"] == 1.0
    assert all(description for _, description, _ in settings())
    for key in ("student.lora.rank=2", "train.report_to=[tensorboard]", "losses.w_kd={start: 1, end: 0}"):
        assert key.split("=")[0] in known
    assert read_recipe(recipe(3), ["losses.beta=0.25"]).losses.beta == 0.25


@pytest.mark.parametrize("verb", ["runs", "models", "--help"])
def test_light_verbs_start_quickly_and_without_torch(verb: str):
    code = """
import sys, time
from workbench.terminal import cli
try:
    cli.main([sys.argv[1]])
except SystemExit:
    pass
heavy = {"torch", "transformers", "datasets", "pandas", "streamlit", "gradio"} & sys.modules.keys()
sys.exit(f"{heavy} {time.process_time()}" if heavy or time.process_time() > 1 else 0)
"""
    done = subprocess.run([sys.executable, "-c", code, verb], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_without_a_verb_the_app_starts(monkeypatch: pytest.MonkeyPatch):
    asked = []
    monkeypatch.setattr(serve, "main", lambda port, host: asked.append((port, host)))
    assert cli.main(["--port", "8601"]) == 0
    assert cli.main([]) == 0
    assert asked == [("8601", None), (None, None)]


# ------------------------------------------------------------------------------------------------ words and models


def test_a_prompt_may_be_the_name_of_an_option(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["generate", "no-such-model", "--prompt=--json"]) == 2
    assert capsys.readouterr().out == ""
    assert cli.main(["generate", "no-such-model", "--prompt", "--json"]) == 2, "argparse takes it for an option, and says so"
    output = capsys.readouterr()
    assert output.out == "" and "--prompt" in output.err
    for arguments in (["generate", "no-such-model", "--prompt", "x", "--js"], ["generate", "--json"], ["plan", "--measure", "--json"]):
        assert cli.main(arguments) == 2
        assert "error" in json.loads(capsys.readouterr().out)


def test_a_recipe_nested_without_end_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "deep.yaml"
    path.write_text("student: " + "[" * 5000)
    assert cli.main(["plan", str(path)]) == 2
    assert "nested too deeply" in capsys.readouterr().err


def test_fetching_a_run_says_that_it_is_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    store = Store()
    run = store.create_run(config(1, name="walk"), device="cpu")
    save_chat_model(run.output_dir)
    store.finish(run.id, "finished")
    assert cli.main(["fetch", "walk"]) == 0
    assert f"walk is here already: {run.output_dir}" in capsys.readouterr().out


def test_an_answer_is_computed_on_the_best_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    import torch

    from core import catalog, devices

    asked: list[object] = []
    monkeypatch.setattr(devices, "resolve_device", lambda name: asked.append(name) or torch.device("cpu"))
    load = catalog.load
    monkeypatch.setattr(catalog, "load", lambda reference, **options: asked.append(options["device"]) or load(reference, **options))
    assert cli.main(["generate", str(save_chat_model(tmp_path / "tiny")), "--prompt", "Hi", "--max-new-tokens", "2"]) == 0
    assert asked == ["auto", torch.device("cpu")]


def test_a_masked_model_fills_the_blanks_of_a_prompt(tmp_path: Path, run_json, capsys: pytest.CaptureFixture[str]) -> None:
    folder, prompt = str(save(masked_model(2), tmp_path / "encoder")), "the [MASK] was [mask]"
    code, document = run_json("generate", folder, "--prompt", prompt)
    expected = fill_blanks(masked_model(2), masked_tokenizer(), prompt)
    assert code == 0 and list(document) == ["model", "prompt", "blanks"] and (document["model"], document["prompt"]) == (folder, prompt)
    assert [[fill["token"] for fill in blank] for blank in document["blanks"]] == [[fill.token for fill in blank] for blank in expected]
    assert [len(blank) for blank in document["blanks"]] == [10, 10] and set(document["blanks"][0][0]) == {"token", "probability"}
    assert document["blanks"][1][0]["probability"] == pytest.approx(expected[1][0].probability, rel=1e-4)
    assert cli.main(["generate", folder, "--prompt", prompt]) == 0
    said = capsys.readouterr().out
    assert "blank 2" in said and f"{expected[1][0].token} " in said
    assert cli.main(["generate", folder, "--prompt", "the film was good"]) == 2
    assert "Write [MASK] or ___ in place of a word" in capsys.readouterr().err


def test_a_classifier_tells_the_classes_of_a_prompt(tmp_path: Path, run_json, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(save(classifier(), tmp_path / "judge"))
    code, document = run_json("generate", folder, "--prompt", "the film was good")
    assert code == 0 and list(document) == ["model", "prompt", "classes"]
    assert [share["label"] for share in document["classes"]] == ["negative", "positive"]
    assert sum(share["probability"] for share in document["classes"]) == pytest.approx(1)
    assert cli.main(["generate", folder, "--prompt", "the film was good"]) == 0
    likeliest = max(document["classes"], key=lambda share: share["probability"])["label"]
    assert capsys.readouterr().out.splitlines()[1].startswith(likeliest)


def test_a_model_that_answers_questions_about_a_text_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save(masked_model(2), tmp_path / "reader")
    plain = json.loads((folder / "config.json").read_text()) | {"architectures": ["BertForQuestionAnswering"]}
    (folder / "config.json").write_text(json.dumps(plain))
    assert cli.main(["generate", str(folder), "--prompt", "Who?"]) == 2
    assert "finds answers in a text" in capsys.readouterr().err


def test_chain_refuses_a_recipe_of_one_student(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "one.yaml").write_text("student: {layers: 2}\n")
    assert cli.main(["chain", str(tmp_path / "one.yaml")]) == 2
    assert "describes no chain" in capsys.readouterr().err


def test_an_export_is_told_in_full(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    source, out = save_encoder(tmp_path / "tiny", "distilbert", layers=1), tmp_path / "out"
    assert cli.main(["export", str(source), "--format", "onnx-int8", "--out", str(out), "--json"]) == 0
    output = capsys.readouterr()
    told = json.loads(output.out)
    assert (told["output_dir"], told["file"], told["task"]) == (str(out), "model.int8.onnx", "masked")
    assert list(told["forms"]) == ["torch", "onnx", "onnx-int8"]
    assert "Quantising ..." in output.err
    assert cli.main(["export", str(source), "--format", "onnx-int8", "--out", str(out)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert cli.main(["export", str(source), "--format", "gguf", "--out", str(tmp_path / "other")]) == 2
    assert "onnx-int8" in capsys.readouterr().err


def test_an_export_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    source = save_encoder(tmp_path / "tiny", "distilbert", layers=1)
    assert cli.main(["export", str(source), "--format", "onnx", "--out", str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{source} as onnx: {tmp_path / 'out'}"
    assert [line.split()[0] for line in lines[2:]] == ["FORM", "torch", "onnx"]
    assert "100.0% of" in lines[-1]


def test_what_runs_exports_in_a_browser_is_fetched(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    from core import npm

    def fetched(progress: Callable[[int, int], None]) -> list[Path]:
        progress(2**20, 2**21)
        return [Path("kept")]

    monkeypatch.setattr(npm, "fetch", fetched)
    assert cli.main(["fetch", "browser-runtime", "--json"]) == 0
    output = capsys.readouterr()
    assert json.loads(output.out)["folders"] == ["kept"]
    assert "1 of 2 MiB" in output.err
