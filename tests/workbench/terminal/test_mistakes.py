"""Mistakes: one message, exit code 2, and nothing half-created."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.core.chat_models import save_chat_model
from workbench.runs import worker
from workbench.store import Store
from workbench.terminal import cli

ENGINE = worker.run_experiment  # the real one

pytestmark = pytest.mark.usefixtures("fake_engine")


MISTAKES = {
    "no such recipe": (["distill", "no-such.yaml"], "no-such.yaml"),
    "unknown key": (["distill", "{recipe}", "--set", "losses.temprature=2"], "Did you mean 'losses.temperature'"),
    "depth 0": (["distill", "{recipe}", "--set", "student.from_scratch=null", "--set", "student.layers=0"],
                "student.layers was given as 0"),
    "temperature 0": (["distill", "{recipe}", "--set", "losses.temperature=0"], "losses.temperature was given as 0"),
    "temperature below 0": (["distill", "{recipe}", "--set", "losses.temperature=-1"], "losses.temperature was given as -1"),
    "no weight at all": (["distill", "{recipe}", "--set", "losses.w_hard=0"], "all loss weights are zero|All loss weights are zero"),
    "a negative weight": (["distill", "{recipe}", "--set", "losses.w_hard=-1"], "losses.w_hard"),
    "not a setting": (["distill", "{recipe}", "--set", "seed"], "section.key=value"),
    "path in a name": (["distill", "{recipe}", "--name", "../../etc/passwd"], "name was given"),
    "unknown teacher": (["submit", "{recipe}", "--set", "teacher.model=smollm2-135m-instrukt", "--set", "student.from_scratch=null"],
                        "Did you mean smollm2-135m-instruct"),
    "unknown run": (["show", "../../etc/passwd"], "There is no run"),
    "no runs": (["runs", "--limit", "0"], "--limit 0 was given. 1 or more were expected"),
    "fewer than no runs": (["runs", "--limit", "-3"], "--limit -3 was given"),
    "unknown verb": (["frobnicate"], "frobnicate"),
    "missing argument": (["show"], "See: python -m workbench show --help"),
    "unknown model": (["generate", "no-such-model", "--prompt", "Hello"], "no-such-model"),
    "half a character": (["generate", "house-chat", "--prompt", "caf\udce9"], "The prompt holds '\\udce9', half of a character"),
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
        return ["teacher.model={folder}/teacher", "student.from_scratch=null", "student.layers=1", *settings]

    return write


def _truncate(model: Path) -> None:
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def _pickle(model: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")


UNUSABLE = {
    "a device that is not there": (lambda folder: ["train.device=cuda:63"], "The device 'cuda:63' was"),
    "corrupt weights": (_teacher(_truncate), "Its header describes"),
    "a pickle checkpoint": (_teacher(_pickle), "pickle"),
    "depth above the teacher's": (_teacher(lambda model: None, "student.layers=9"), "A student of 9 blocks was"),
    "no network for the teacher": (lambda folder: ["teacher.model=nobody/nothing", "student.from_scratch=null"],
                                   "the hub cannot be reached"),
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
    monkeypatch.setattr(worker, "run_experiment", ENGINE)
    changes = [*_teacher(lambda model: None, "losses.w_kd=1", "data.block_length=512")(tmp_path), *_text(b"Short.\n\nToo short.")(tmp_path)]
    assert "block" in refused("distill", recipe(3), tmp_path, changes, capsys)


def test_a_mistake_with_json_is_one_document(run_json: Callable[..., tuple[int, Any]]):
    code, document = run_json("show", "nothing")
    assert code == 2
    assert document == {"error": {"given": "There is no run 'nothing'.", "expected": "A run's id or name was expected.",
                                  "fix": "See the list of runs: python -m workbench runs"}}


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


@pytest.mark.parametrize(("verb", "fix"), [(("distill", "RECIPE"), "per_device_train_batch_size"),
                                           (("generate", "house-chat", "--prompt", "x"), "smaller model")])
@pytest.mark.parametrize("error", [
    MemoryError(), RuntimeError("unable to mmap 1258404080 bytes from file <model.safetensors>: Cannot allocate memory (12)"),
    OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))], ids=lambda error: type(error).__name__)
def test_too_little_memory_gets_a_message(verb: tuple[str, ...], fix: str, error: Exception, recipe: Callable[..., str],
                                          capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    def refuse(*_arguments: Any, **_options: Any) -> None:
        raise error

    monkeypatch.setattr(Store, "__init__", refuse)
    assert cli.main([recipe(3) if word == "RECIPE" else word for word in verb] + ["--json"]) == 1
    output = capsys.readouterr()
    document = json.loads(output.out)["error"]
    assert document["given"] == "There was not enough memory to finish this command." and fix in document["fix"]
    assert len(output.err.splitlines()) == 1


def test_a_home_that_is_a_file_gets_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STILLHOUSE_HOME", str(tmp_path / "file"))
    assert cli.main(["runs"]) == 2
    assert "STILLHOUSE_HOME" in capsys.readouterr().err


def test_a_recipe_nested_without_end_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "deep.yaml"
    path.write_text("student: " + "[" * 5000)
    assert cli.main(["plan", str(path)]) == 2
    assert "nested too deeply" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not hold processes to such limits")
@pytest.mark.parametrize("verb", [("distill", "assets/recipes/smoke.yaml"), ("generate", "house-chat", "--prompt", "A film"),
                                  ("signals", "build", "assets/recipes/smoke.yaml"), ("serve-teacher", "house-chat")])
def test_less_memory_than_the_libraries_take_is_refused_at_once(verb: tuple[str, ...]):
    """Under such a limit OpenBLAS asks for memory without end when it is imported, and takes no signal meanwhile."""
    limited = "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_DATA, (300 << 20,) * 2); sys.argv[0] = 'workbench'; " \
              "runpy.run_module('workbench', run_name='__main__')"
    ended = subprocess.run([sys.executable, "-c", limited, *verb], capture_output=True, text=True, check=False)
    assert ended.returncode == 1 and "Traceback" not in ended.stderr
    assert "error: A process may use 300 MiB of private memory (ulimit -d)." in ended.stderr
    assert Store().runs(include_deleted=True) == []
