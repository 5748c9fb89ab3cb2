from __future__ import annotations

import pytest

from workbench.processes import inherited


def test_settings_of_the_servers_are_not_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("STREAMLIT_SERVER_PORT", "GRADIO_TEMP_DIR", "STILLHOUSE_HOME")
    for name in names:
        monkeypatch.setenv(name, "1")
    assert [name for name in names if name in inherited()] == ["STILLHOUSE_HOME"]
