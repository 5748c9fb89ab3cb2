from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.waiting import PATIENCE, wait_until
from workbench.errors import DesktopError
from workbench.screens.models import desktop
from workbench.screens.models.desktop import file_manager, open_folder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Linux desktop whose xdg-open writes down its argument, and refuses a folder called closed."""
    script = tmp_path / "bin" / "xdg-open"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\ncase "$1" in\n*closed) exit 4;;\n'
                      f'*slow) touch {tmp_path}/stays; while [ ! -e {tmp_path}/leave ]; do sleep 0.05; done;;\nesac\n')
    script.chmod(0o755)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("PATH", f"{script.parent}:/usr/bin:/bin")
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(desktop, "REFUSAL_SECONDS", PATIENCE)  # a busy machine is slow, not wrong
    return tmp_path


def folder(parent: Path, name: str) -> Path:
    path = parent / name
    path.mkdir()
    return path


def test_it_opens_the_folder(stand_in: Path):
    open_folder(folder(stand_in, "a model; of mine"))
    assert (stand_in / "opened").read_text() == f"{stand_in}/a model; of mine\n"


def test_a_file_manager_that_stays_is_not_waited_for(stand_in: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(desktop, "REFUSAL_SECONDS", 0.05)
    open_folder(folder(stand_in, "slow"))
    wait_until((stand_in / "stays").exists)
    assert (stand_in / "opened").read_text() == f"{stand_in}/slow\n"
    (stand_in / "leave").touch()


def test_a_refusal_is_reported(stand_in: Path):
    with pytest.raises(DesktopError, match=r"xdg-open could not open .*closed \(exit status 4\)"):
        open_folder(folder(stand_in, "closed"))
    with pytest.raises(DesktopError, match="not there any more"):
        open_folder(stand_in / "gone")


def test_without_a_display_or_a_command_there_is_none(stand_in: Path, monkeypatch: pytest.MonkeyPatch):
    assert file_manager() == ["xdg-open"]
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert file_manager() is None
    with pytest.raises(DesktopError, match="no file manager"):
        open_folder(stand_in)
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    monkeypatch.setenv("PATH", "/nowhere")
    assert file_manager() is None
