"""Where things lie in the home folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench import paths


@pytest.mark.parametrize(("place", "name"), [
    (paths.store_path, "store.sqlite"), (paths.uploads_dir, "uploads"), (paths.generated_dir, "made"), (paths.exports_dir, "exports"),
    (paths.engine_log, "engine.log")])
def test_places_lie_in_the_home_and_are_not_made_by_asking(home: Path, place: Callable[[], Path], name: str) -> None:
    assert place() == home / name and not home.exists()
    assert f"── {name}" in (paths.__doc__ or ""), "the tree in the docstring shows it"


def test_a_relative_home_counts_from_the_current_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STILLHOUSE_HOME", "mine")
    assert paths.home() == tmp_path / "mine" and paths.home().is_absolute()


def test_visitors_folders_are_those_of_the_home_and_of_the_setting(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = paths.visitors_folders()
    assert {home / "uploads", home / "runs", home / "models"} <= set(own)
    assert home not in own  # the key and the sessions lie in it
    monkeypatch.setenv("STILLHOUSE_FOLDERS", f"{tmp_path / 'a'}{os.pathsep}{tmp_path / 'b'}{os.pathsep}")
    assert paths.visitors_folders() == [*own, tmp_path / "a", tmp_path / "b"]
