"""Files and folders that are there whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from core.errors import DiskFullError, StillhouseError
from core.system import files
from core.system.files import atomic_directory, read_json, write_json


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_json_is_read_back(tmp_path: Path) -> None:
    plain = {"number": 1.5, "text": "naïve", "list": [1, None, True]}
    write_json(tmp_path / "new" / "folder" / "a.json", plain)
    assert read_json(tmp_path / "new" / "folder" / "a.json") == plain
    write_json(tmp_path / "new" / "folder" / "a.json", [2])
    assert read_json(tmp_path / "new" / "folder" / "a.json") == [2]
    assert names(tmp_path / "new" / "folder") == {"a.json"}


def test_what_is_no_json_stays_what_it_was(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", 1)
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"path": tmp_path})
    assert read_json(tmp_path / "a.json") == 1


def test_a_crash_while_writing_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_json(tmp_path / "a.json", "old")
    monkeypatch.setattr(Path, "write_text", _writes_half)
    with pytest.raises(OSError, match="No space"):
        write_json(tmp_path / "a.json", "new")
    assert json.loads((tmp_path / "a.json").read_bytes()) == "old"


def _writes_half(path: Path, text: str, **_: object) -> int:
    path.write_bytes(text[:2].encode())
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff\xfe", b'{"a": 1} 2', b"[" * 100_000])
def test_what_cannot_be_read_is_none(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "a.json").write_bytes(content)
    assert read_json(tmp_path / "a.json") is None


def test_a_folder_is_there_when_the_block_has_ended(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "target"
    with atomic_directory(target, 0) as partial:
        assert partial.is_dir() and partial.parent == target.parent and not target.exists()
        (partial / "a").write_text("1")
    assert names(target) == {"a"} and names(target.parent) == {"target"}


@pytest.mark.parametrize("error", [KeyError("mine"), KeyboardInterrupt()])
def test_a_block_that_fails_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    def fill() -> None:
        with atomic_directory(tmp_path / "target", 0) as partial:
            (partial / "a").write_text("1")
            raise error

    with pytest.raises(type(error)):
        fill()
    assert names(tmp_path) == set()


def test_what_another_process_made_meanwhile_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def made_by_another() -> None:
        (tmp_path / "target").mkdir()
        (tmp_path / "target" / "theirs").touch()

    with atomic_directory(tmp_path / "target", 0) as partial:
        (partial / "ours").touch()
        made_by_another()
    assert names(tmp_path) == {"target"} and names(tmp_path / "target") == {"theirs"}
    shutil.rmtree(tmp_path / "target")
    exists = Path.exists

    def just_before(path: Path) -> bool:
        """Nothing is there when the block asks, and something when it moves its folder."""
        there = exists(path)
        if path.name == "target":
            made_by_another()
        return there

    with atomic_directory(tmp_path / "target", 0) as partial:
        (partial / "ours").touch()
        monkeypatch.setattr(Path, "exists", just_before)
    monkeypatch.undo()
    assert names(tmp_path) == {"target"} and names(tmp_path / "target") == {"theirs"}


def test_too_little_room_is_reported_before_anything_is_done(tmp_path: Path) -> None:
    with pytest.raises(DiskFullError, match="are needed"), atomic_directory(tmp_path / "target", 2**62):
        pytest.fail("the block was entered")
    assert names(tmp_path) == set()


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, DiskFullError), (errno.EDQUOT, DiskFullError), (errno.EROFS, StillhouseError),
                                              (errno.EACCES, StillhouseError), (errno.EPERM, StillhouseError), (errno.EIO, OSError)])
def test_a_disk_that_refuses_in_the_middle_has_words(tmp_path: Path, number: int, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught, atomic_directory(tmp_path / "target", 0):
        raise OSError(number, os.strerror(number))
    assert type(caught.value) is kind
    assert kind is OSError or isinstance(caught.value.__cause__, OSError)
    assert names(tmp_path) == set()


def test_a_place_below_a_file_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StillhouseError, match="file"), atomic_directory(tmp_path / "file" / "folder" / "target", 0):
        pytest.fail("the block was entered")


def test_a_move_that_fails_for_another_reason_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "broken")

    with pytest.raises(OSError, match="broken"), atomic_directory(tmp_path / "target", 0):
        monkeypatch.setattr(files.Path, "rename", refuse)
    assert names(tmp_path) == set()


def test_the_file_system_of_a_folder_is_that_of_the_mount_closest_to_it(tmp_path, monkeypatch):
    mounts = {"/": "ext4", str(tmp_path): "nfs4", f"{tmp_path}/a": "tmpfs"}
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: [
        SimpleNamespace(mountpoint=place, fstype=kind) for place, kind in mounts.items()])
    for folder, kind in ((tmp_path / "b", "nfs4"), (tmp_path / "a" / "c", "tmpfs"), (tmp_path.parent, "ext4")):
        files.file_system.cache_clear()
        assert files.file_system(folder) == kind
    files.file_system.cache_clear()
