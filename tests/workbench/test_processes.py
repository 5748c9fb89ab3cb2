from __future__ import annotations

import pytest

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
