"""What a limited process reads by name, and what it refuses, whichever way the name leads there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from core.chains.folder import open_chain
from core.config import DataSpec
from core.data import sources
from core.errors import DataError, ModelNotFoundError
from core.models import catalog
from core.system import reach
from core.tasks.labelled_tables import open_labelled
from tests.core.chat_models import save_chat_model

TEXT = "One text.\n\nAnother text.\n"


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A folder that may be read, another one beside it, and this process limited to the first."""
    inside, outside = tmp_path / "inside", tmp_path / "inside-not"
    for folder in (inside, outside):
        (folder / "deep").mkdir(parents=True)
        (folder / "data.txt").write_text(TEXT)
        (folder / "data.csv").write_text("text,label\na,b\nc,d\n")
    for name, value in reach.limited_to([inside, tmp_path / "not-there-yet"]).items():
        monkeypatch.setenv(name, value)
    return inside, outside


def test_without_a_limit_everything_is_read(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(reach.VARIABLE)
    assert reach.refusal(str(folders[1] / "data.txt")) is None
    assert reach.refusal("/etc/hostname") is None


def test_inside(folders: tuple[Path, Path]) -> None:
    inside, _ = folders
    for path in (inside / "data.txt", inside / "deep" / ".." / "data.txt", inside / "missing.txt", inside):
        assert reach.refusal(str(path)) is None
    assert list(sources.rows(DataSpec(source=str(inside / "data.txt")), "train"))
    assert open_labelled(str(inside / "data.csv")).columns == ("text", "label")


def test_outside(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    inside, outside = folders
    (inside / "link.txt").symlink_to(outside / "data.txt")
    (inside / "folder").symlink_to(outside)
    (inside / "circle.txt").symlink_to(inside / "circle.txt")
    monkeypatch.chdir(outside)
    monkeypatch.setenv("HOME", str(outside))
    names = [outside / "data.txt", inside / ".." / "inside-not" / "data.txt", inside / "link.txt", inside / "folder" / "data.txt",
             f"{inside}-not/data.txt", "data.txt", "./data.txt", "deep/../data.txt", "~/data.txt", "~root/data.txt", "/etc/passwd",
             f"{inside}/../../../../../../../../../etc/passwd", "/proc/self/root/etc/passwd", "/dev/stdin", ".", "..", "/",
             "requirements.txt", "assets/models/README.md", "owner/name.csv",
             f"//{str(outside).lstrip('/')}/data.txt", outside / "not-there.txt", f"{inside}/\0/data.txt", f"{inside}/{'x' * 5000}/../../y"]
    for name in map(str, names):
        refused = reach.refusal(name)
        assert refused is not None and reach.FOLDERS in refused[2], name
        with pytest.raises(DataError, match="not in a folder that visitors"):
            sources.open_source(DataSpec(source=name))
        with pytest.raises(DataError, match="not in a folder that visitors"):
            open_labelled(name)
        for opens in (catalog.describe, open_chain):
            with pytest.raises(ModelNotFoundError, match="not in a folder that visitors"):
                opens(name)


def test_what_is_no_path_is_not_refused(folders: tuple[Path, Path]) -> None:
    for name in ("quickstart", "owner/name", "house", "house-reviews:before", "", "a b"):
        assert reach.refusal(name) is None


def test_what_is_missing_outside_looks_like_what_is_there(folders: tuple[Path, Path]) -> None:
    """Nobody learns from a message which files there are."""
    there, missing = (reach.refusal(str(folders[1] / name)) for name in ("data.txt", "missing.txt"))
    assert there is not None and missing is not None
    assert there[0].replace("data", "missing") == missing[0] and there[1:] == missing[1:]


def test_models(folders: tuple[Path, Path]) -> None:
    inside, outside = folders
    assert catalog.describe(str(save_chat_model(inside / "model"))).kind == "folder"
    with pytest.raises(ModelNotFoundError, match="not in a folder that visitors"):
        catalog.describe(str(save_chat_model(outside / "model")))
    assert catalog.entries()  # what ships is known by name


def test_several_folders(tmp_path: Path) -> None:
    assert reach.limited_to([tmp_path, Path("/a")]) == {reach.VARIABLE: f"{tmp_path}{os.pathsep}/a"}


def test_hosts_are_those_that_an_owner_lists_where_others_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(reach.VARIABLE, raising=False)
    monkeypatch.delenv(reach.HOSTS, raising=False)
    assert reach.host_refusal("cluster") is None
    monkeypatch.setenv(reach.VARIABLE, "/somewhere")
    assert reach.host_refusal("cluster") is not None
    monkeypatch.setenv(reach.HOSTS, "other, cluster")
    assert reach.host_refusal("cluster") is None and reach.host_refusal("clus") is not None and reach.host_refusal("") is not None
