"""A zip file that is written while it is sent: nothing is copied, nothing waits, and its length is known before its first byte.

Weights do not compress, so files are stored as they are. Then the length follows from the names and the sizes (APPNOTE.TXT 6.3.10, 4.3):
each file has a local header with a ZIP64 field, its bytes, and a data descriptor; the directory at the end has a header for each.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import CorruptModelError

CHUNK = 1 << 20  # bytes that are read at once
LOCAL_HEADER, DESCRIPTOR = 30 + 20, 24  # bytes, with 64-bit sizes whatever the size is
DIRECTORY_HEADER, END, END_64 = 46, 22, 56 + 20
STAMP = (1980, 1, 1, 0, 0, 0)  # the same files give the same archive


@dataclass(frozen=True, slots=True)
class Member:
    """One file of an archive.

    Attributes:
        name: its path in the archive, with slashes.
        path: where it lies.
        size: bytes.
    """

    name: str
    path: Path
    size: int


def members(top: str, files: Mapping[str, Path]) -> list[Member]:
    """Return files as members of an archive, all in the folder `top`. Raises OSError for one that is not there."""
    return [Member(f"{top}/{name}", path, path.stat().st_size) for name, path in sorted(files.items())]


def length(entries: Sequence[Member]) -> int:
    """Return the bytes of the archive."""
    offset, directory = 0, 0
    for each in entries:
        name = len(each.name.encode())
        wide = 2 * (each.size > zipfile.ZIP64_LIMIT) + (offset > zipfile.ZIP64_LIMIT)
        directory += DIRECTORY_HEADER + name + (4 + 8 * wide if wide else 0)
        offset += LOCAL_HEADER + name + each.size + DESCRIPTOR
    many = len(entries) > zipfile.ZIP_FILECOUNT_LIMIT
    return offset + directory + END + (END_64 if many or max(offset, directory) > zipfile.ZIP64_LIMIT else 0)


def stream(entries: Sequence[Member]) -> Iterator[bytes]:
    """Yield the archive piece by piece.

    Raises:
        CorruptModelError: a file is not as long as it was; the archive breaks off, which its length shows to whoever receives it.
    """
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for each in entries:
            left = each.size
            with archive.open(zipfile.ZipInfo(each.name, STAMP), "w", force_zip64=True) as written, each.path.open("rb") as read:
                while left and (piece := read.read(min(CHUNK, left))):
                    left -= len(piece)
                    written.write(piece)
                    yield sink.take()
                if left or read.read(1):
                    raise CorruptModelError(f"'{each.name}' changed while it was sent.", "", "Download it again.")
            yield sink.take()
    yield sink.take()


class _Sink:
    """Takes what `zipfile` writes; it cannot seek, so sizes and checksums come after each file."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:
        self._pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        """Do nothing: what was written is there."""

    def close(self) -> None:
        """Do nothing: there is nothing to close."""

    def take(self) -> bytes:
        """Return what was written since the last call."""
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken
