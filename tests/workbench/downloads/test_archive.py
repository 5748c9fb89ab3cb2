"""Archives that are written while they are sent."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from core.errors import CorruptModelError
from workbench.downloads import archive


def some(tmp_path: Path) -> list[archive.Member]:
    for name, size in (("a.json", 0), ("weights.bin", 2 * archive.CHUNK + 7), ("naïve.txt", 300)):
        (tmp_path / name).write_bytes(bytes(number % 251 for number in range(size)))
    return archive.members("model", {path.name: path for path in tmp_path.iterdir()})


@pytest.mark.parametrize("limit", [2**31, 100, 1000, 10**6])  # from where on sizes and offsets take 64 bits
def test_its_length_is_known_before_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", limit)
    entries = some(tmp_path)
    pieces = list(archive.stream(entries))
    assert sum(map(len, pieces)) == archive.length(entries)
    assert max(map(len, pieces)) < archive.CHUNK + 1000, "a large file is never in memory as a whole"
    with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as read:
        assert read.testzip() is None
        assert {name: read.read(name) for name in read.namelist()} == {each.name: each.path.read_bytes() for each in entries}


@pytest.mark.parametrize("change", [b"", b"longer than before"])
def test_a_file_that_changes_meanwhile_breaks_it_off(tmp_path: Path, change: bytes) -> None:
    (tmp_path / "a.json").write_bytes(b"12345")
    entries = archive.members("model", {"a.json": tmp_path / "a.json"})
    (tmp_path / "a.json").write_bytes(change)
    with pytest.raises(CorruptModelError, match="changed while it was sent"):
        list(archive.stream(entries))
