"""Files of UTF-8 text: opened, read a line at a time, and what is wrong with them as `DataError`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TextIO

from core.errors import DataError

LONGEST_FIELD = 1 << 26  # characters of one text; a longer CSV field is a quotation mark that was never closed
HEAD = 1 << 16  # what is looked at before a file is read: bytes, or characters of a CSV file


def lines(file: TextIO, path: Path) -> Iterator[str]:
    """Yield the lines of a file. Raises DataError for one that is longer than a text may be, before more of it is read."""
    for number, line in enumerate(iter(partial(file.readline, LONGEST_FIELD + 1), ""), start=1):
        if len(line) > LONGEST_FIELD:
            raise DataError(f"'{path}', line {number} has more than {LONGEST_FIELD:,} characters.",
                            "A text on each line, or in each record, was expected.", "Cut it into several.")
        yield line


@contextmanager
def open_text(path: Path, newline: str | None = None) -> Iterator[TextIO]:
    """Open UTF-8 text with or without a byte order mark; trouble with it becomes DataError."""
    with readable(path):
        try:
            with path.open(encoding="utf-8-sig", newline=newline) as file:
                yield file
        except UnicodeDecodeError as error:
            raise _not_utf8(path) from error


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what the system says of a file into DataError."""
    try:
        yield
    except OSError as error:
        raise DataError(f"'{path}' cannot be read: {(error.strerror or str(error)).lower()}.", "A readable file was expected.",
                        "Check its name and its permissions.") from error


def _not_utf8(path: Path) -> DataError:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                return DataError(f"'{path}', line {number} is not UTF-8: byte 0x{line[error.start]:02X} at column {error.start + 1}.",
                                 "UTF-8 was expected.", converted(path, "WINDOWS-1252"))
    return DataError(f"'{path}' changed while it was read.", "A file that stays as it is was expected.", "Start again.")


def converted(path: Path, encoding: str) -> str:
    """Return advice on how a file becomes UTF-8."""
    return f"Save it as UTF-8, for example with: iconv -f {encoding} -t UTF-8 '{path.name}' > '{path.stem}-utf8{path.suffix}'"
