from __future__ import annotations

import subprocess
import sys

import pytest

from core.system.paths import PROJECT
from workbench import processes
from workbench.processes import detached, inherited


def test_settings_of_the_servers_are_not_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("STREAMLIT_SERVER_PORT", "GRADIO_TEMP_DIR", "STILLHOUSE_HOME")
    for name in names:
        monkeypatch.setenv(name, "1")
    assert [name for name in names if name in inherited()] == ["STILLHOUSE_HOME"]


def test_a_worker_leaves_the_console_of_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes.sys, "platform", "win32")
    monkeypatch.setattr(processes.subprocess, "CREATE_NEW_PROCESS_GROUP", 0x200, raising=False)
    monkeypatch.setattr(processes.subprocess, "CREATE_NO_WINDOW", 0x8000000, raising=False)
    assert detached() == {"creationflags": 0x8000200}


@pytest.mark.skipif(not processes.OWN_SCORE.exists(), reason="the system does not let a process say that it may be ended first")
def test_a_process_that_gives_way_is_ended_first_and_never_later_than_before() -> None:
    program = ("from workbench.processes import OWN_SCORE, lower_priority, offer_memory\n"
               "lower_priority()\nprint(OWN_SCORE.read_text())\nOWN_SCORE.write_text('900')\noffer_memory()\nprint(OWN_SCORE.read_text())\n")
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(max(processes.FIRST_TO_END, int(processes.OWN_SCORE.read_text()))), "900"]
