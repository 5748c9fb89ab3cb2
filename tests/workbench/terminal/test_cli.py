"""The parser, and what every verb has in common."""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Callable

import pytest

from core import __version__
from core.system.paths import PROJECT
from workbench import serve
from workbench.terminal import cli


def test_the_release_is_printed(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"Stillhouse {__version__}\n"


def test_a_closed_pipe_is_no_error(recipe: Callable[..., str]):
    command = f"{shlex.quote(sys.executable)} -m workbench models | head -c 1"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], cwd=PROJECT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_setting_is_in_the_help_of_distill(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["distill", "--help"])
    text = capsys.readouterr().out
    assert exit_.value.code == 0
    for key in ("losses.temperature", "student.lora.rank", "train.max_steps", "control"):
        assert f"\n  {key}\n" in text
    assert "number above 0; T of the soft targets" in text
    assert "(default: 2.0)" in text


def test_every_option_has_a_help_with_its_default() -> None:
    verbs, = (action for action in cli.build_parser()._actions if isinstance(action, argparse._SubParsersAction))
    actions = [(name, action) for name, verb in verbs.choices.items() for action in verb._actions]
    assert all(action.help for _, action in actions)
    optional = [(name, action) for name, action in actions if action.option_strings and action.nargs != 0 and not action.required
                and (name, action.dest) not in (("interpolate", "params"), ("interpolate", "layers"))]  # one of the two is required
    assert [(name, action.dest) for name, action in optional if "(default: " not in action.help] == []


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
    done = subprocess.run([sys.executable, "-c", code, verb], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_without_a_verb_the_app_starts(monkeypatch: pytest.MonkeyPatch):
    calls = []
    monkeypatch.setattr(serve, "main", lambda port, host: calls.append((port, host)))
    assert cli.main(["--port", "8601"]) == 0
    assert cli.main([]) == 0
    assert calls == [("8601", None), (None, None)]


def test_a_prompt_may_be_the_name_of_an_option(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["generate", "no-such-model", "--prompt=--json"]) == 2
    assert capsys.readouterr().out == ""
    assert cli.main(["generate", "no-such-model", "--prompt", "--json"]) == 2, "argparse takes it for an option, and says so"
    output = capsys.readouterr()
    assert output.out == "" and "--prompt" in output.err
    for arguments in (["generate", "no-such-model", "--prompt", "x", "--js"], ["generate", "--json"], ["plan", "--measure", "--json"]):
        assert cli.main(arguments) == 2
        assert "error" in json.loads(capsys.readouterr().out)
