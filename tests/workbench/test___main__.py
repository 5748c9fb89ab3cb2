"""The command: its exit code, a terminal that cannot show every letter, and no bars over its progress line."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from workbench import __main__ as command

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("code", [0, 2])
def test_the_exit_code_is_that_of_the_command_line(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    monkeypatch.setattr(command, "main", lambda: code)
    assert command.run() == code


def test_letters_that_a_terminal_lacks_become_question_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="ascii"))

    def main() -> int:
        print("naïve ±")
        sys.stdout.flush()
        return 0

    monkeypatch.setattr(command, "main", main)
    assert command.run() == 0 and shown.getvalue().split() == [b"na?ve", b"?"]


@pytest.mark.parametrize(("set_before", "then"), [(None, "1"), ("0", "0")])
def test_bars_are_disabled_unless_somebody_wants_them(monkeypatch: pytest.MonkeyPatch, set_before: str | None, then: str) -> None:
    monkeypatch.setattr(os, "environ", {} if set_before is None else {"TQDM_DISABLE": set_before})
    monkeypatch.setattr(command, "main", lambda: 0)
    command.run()
    assert os.environ["TQDM_DISABLE"] == then


def test_the_module_is_a_program() -> None:
    done = subprocess.run([sys.executable, "-m", "workbench", "no-such-verb"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "no-such-verb" in done.stderr and not done.stdout
