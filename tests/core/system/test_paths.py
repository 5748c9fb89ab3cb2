import errno
from pathlib import Path

import pytest

from core.errors import DiskFullError, StillhouseError
from core.system import files, paths


def test_home_is_named_by_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STILLHOUSE_HOME", str(tmp_path))
    assert paths.home() == tmp_path
    for unset in (None, ""):
        monkeypatch.setenv("STILLHOUSE_HOME", unset) if unset is not None else monkeypatch.delenv("STILLHOUSE_HOME")
        assert paths.home() == Path.home() / ".stillhouse"


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "models" / "one"
    with files.atomic_directory(target, 0) as folder:
        (folder / "file").write_text("1")
        assert not target.exists()
    assert [path.relative_to(tmp_path) for path in sorted(tmp_path.rglob("*"))] == [
        Path("models"), Path("models/one"), Path("models/one/file")]


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with files.atomic_directory(tmp_path / "one", 0) as folder:
            (folder / "file").write_text("1")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_the_first_of_two_writers_wins(tmp_path: Path) -> None:
    target = tmp_path / "one"
    with files.atomic_directory(target, 0) as mine:
        (mine / "file").write_text("mine")
        with files.atomic_directory(target, 0) as theirs:
            (theirs / "file").write_text("theirs")
    assert (target / "file").read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [target]


def test_two_writers_may_be_done_at_the_same_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "one"
    with files.atomic_directory(target, 0) as mine:
        (mine / "file").write_text("mine")
        target.mkdir()
        (target / "file").write_text("theirs")
        monkeypatch.setattr(Path, "exists", lambda self: False)  # checked a moment before it was there
    monkeypatch.undo()
    assert (target / "file").read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [target]


def test_too_little_room_is_known_beforehand(tmp_path: Path) -> None:
    with pytest.raises(DiskFullError, match="GiB are needed"), files.atomic_directory(tmp_path / "one", 2**60):
        pytest.fail("began without the room")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("number", "error"), [
    (errno.ENOSPC, DiskFullError), (errno.EROFS, StillhouseError), (errno.EACCES, StillhouseError)])
def test_a_full_or_read_only_disk_is_named(number: int, error: type[Exception], tmp_path: Path) -> None:
    with pytest.raises(error, match="STILLHOUSE_HOME"), files.atomic_directory(tmp_path / "one", 0):
        raise OSError(number, "from the system")


def test_a_home_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StillhouseError, match="cannot be written to"), files.atomic_directory(tmp_path / "file" / "models" / "one", 0):
        pytest.fail("wrote into a file")
