"""Files of text as tables of records that can be read again and again, a record at a time."""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from core.data.documents import PROBE, division, documents
from core.data.formats import known_columns
from core.data.json_records import Record, json_items, json_lines
from core.data.parquet_pages import pages
from core.data.text_files import HEAD, LONGEST_FIELD, converted, lines, open_text, readable
from core.errors import DataError
from core.system.units import format_bytes

DELIMITERS = ",;\t|"
BATCH_ROWS = 64  # rows of a Parquet file decoded at a time, at most
PARQUET_BYTES = 1 << 27  # 128 MiB; what a page of a Parquet file may unpack to, and what rows that are decoded together take
LOOK = 1000  # records of a JSON file whose keys are its columns
MOST_COLUMNS = 10_000
LOOK_FOR = 100_000  # records that are read to find a column that a user names


@dataclass(frozen=True)
class Table:
    """Records with named columns.

    Attributes:
        origin: names the source in messages.
        columns: what a record holds; of a JSON file, what any of its first `LOOK` records holds, those of the first one in front.
        read: yields every record, again for each call; it needs to hold the given columns only.
        total_rows: how many records there are, where that is known without reading them all.
        size: bytes, where known.
        classes: column -> the names of its numbered values, where the source declares them.
        optional: columns that a record may lack: of a JSON file, those that its first record lacks.
        loose: whether records may have columns that are not known before all are read, as those of a JSON file.
        note: how it was divided into records, where that was found by a look; a part of a sentence, may be empty.
    """

    origin: str
    columns: tuple[str, ...]
    read: Callable[[tuple[str, ...]], Iterator[Record]]
    total_rows: int | None
    size: int | None
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    optional: frozenset[str] = frozenset()
    loose: bool = False
    note: str = ""

    def with_column(self, name: str | None) -> Table:
        """Return the table with a column that only later records have, if one of the first `LOOK_FOR` has it."""
        if name is None or not self.loose or name in self.columns:
            return self
        with suppress(DataError):
            if any(name in record for _, record in islice(self.read((name,)), LOOK_FOR)):
                return replace(self, columns=(*self.columns, name), optional=self.optional | {name})
        return self


def open_file(path: Path) -> Table:
    """Recognise a .txt, .jsonl, .json, .csv, .tsv or .parquet file by its name.

    Raises:
        DataError: no such file, another kind of file, an empty or unreadable one, not UTF-8, no header. Reading the table
            raises it too: a line that is not JSON, fields that do not match the header, damaged data.
    """
    with readable(path):
        if not path.exists():
            raise _absent(path)
        if path.is_dir():
            raise DataError(f"'{path}' is a folder.", f"A {suffixes()} file was expected.", "Name one of its files.")
        reader = READERS.get(path.suffix.lower())
        if reader is None:
            raise DataError(f"'{path}' ends in '{path.suffix}'.", f"A {suffixes()} file was expected.",
                            "Convert it, or rename it if it is one of these.")
        if path.stat().st_size == 0:
            raise _empty(path)
        return reader(path)


def suffixes() -> str:
    """Return the kinds of files that can be read, for messages."""
    *others, last = READERS
    return f"{', '.join(others)} or {last}"


# ---------------------------------------------------------------------------------------------------- kinds of files


def _text_table(path: Path) -> Table:
    _check_text(path)

    def read(_columns: tuple[str, ...]) -> Iterator[Record]:
        with open_text(path) as file:
            for number, document in enumerate(documents(file), start=1):
                yield f"document {number}", {"text": document}

    with open_text(path) as file:
        note = division(file.read(PROBE)).value
    return Table(f"'{path}'", ("text",), read, None, path.stat().st_size, note=note)


def _json_table(path: Path) -> Table:
    """Read one object on each line, or an array of objects, whichever of them a file's name says."""
    _check_text(path)
    with open_text(path) as file:
        if file.read(HEAD).lstrip().startswith("["):
            return _records_table(path, json_items)
    return _records_table(path, json_lines)


def _records_table(path: Path, records: Callable[[Path], Iterator[Record]]) -> Table:
    looked = islice(records(path), LOOK)
    first = next(looked, None)
    if first is None:
        raise _empty(path)
    columns, size = dict.fromkeys(first[1]), 0
    _require_columns(path, len(columns))
    with suppress(DataError):  # what is wrong with a later record is said when it is read, if it is
        for _, record in looked:
            columns |= dict.fromkeys(record)
            size += sum(len(value) for value in record.values() if isinstance(value, (str, list)))
            if size > PROBE or len(columns) > MOST_COLUMNS:
                break
    _require_columns(path, len(columns))
    return Table(f"'{path}'", tuple(columns), lambda _columns: records(path), None, path.stat().st_size,
                 optional=frozenset(columns) - frozenset(first[1]), loose=True)


def _require_columns(path: Path, count: int) -> None:
    if count > MOST_COLUMNS:
        raise DataError(f"'{path}' has {count:,} columns.", f"{MOST_COLUMNS:,} at most were expected.", "Leave out what is no text.")


def _csv_table(path: Path) -> Table:
    _check_text(path)
    with open_text(path, newline="") as file:
        delimiter, header = _csv_header(file.read(HEAD))
    if not header:
        raise _empty(path)
    _require_columns(path, len(header))
    return Table(f"'{path}'", header, lambda _columns: _csv_records(path, delimiter, header), None, path.stat().st_size)


def _csv_header(beginning: str) -> tuple[str, tuple[str, ...]]:
    """Return the delimiter with which the first record has a known column or else the most fields, and the names in it."""
    found = []
    for delimiter in DELIMITERS:
        fields = next(filter(None, csv.reader(io.StringIO(beginning, newline=""), delimiter=delimiter, skipinitialspace=True)), [])
        names = tuple(field.strip() for field in fields)
        found.append((known_columns(names) is not None, len(names), delimiter, names))
    *_, delimiter, names = max(found, key=lambda candidate: candidate[:2])
    return delimiter, names


def _csv_records(path: Path, delimiter: str, header: tuple[str, ...]) -> Iterator[Record]:
    csv.field_size_limit(LONGEST_FIELD)
    with open_text(path, newline="") as file:
        reader = csv.reader(lines(file, path), delimiter=delimiter, skipinitialspace=True, strict=True)
        is_header = True
        while True:
            where = f"line {reader.line_num + 1}"
            try:
                fields = next(reader, None)
            except csv.Error as error:
                raise DataError(f"'{path}', the record that begins at {where} cannot be read: {error}.",
                                "Fields with quotation marks, delimiters or line ends in them stand between double quotes.",
                                'Close the quotes, and double those inside a field: "He said ""no"".".') from error
            if fields is None:
                return
            if not fields:
                continue  # a blank line
            if is_header:
                is_header = False
                continue
            if any(fields[len(header):]):
                raise DataError(f"'{path}', {where} has {len(fields)} fields.", f"The first line names {len(header)}.",
                                f"Put texts that hold '{_visible(delimiter)}' between double quotes, or save the table as .jsonl.")
            yield where, dict(zip(header, fields, strict=False))


def _tsv_table(path: Path) -> Table:
    """Read tab-separated values, which know no quotes: a quotation mark is text, unless it encloses the whole field, as in spreadsheets."""
    _check_text(path)
    header = next((fields for _, fields in _tsv_lines(path)), [])
    if not header:
        raise _empty(path)
    _require_columns(path, len(header))
    return Table(f"'{path}'", tuple(header), lambda _columns: _tsv_records(path, header), None, path.stat().st_size)


def _tsv_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    with open_text(path) as file:
        for number, line in enumerate(lines(file, path), start=1):
            if line.strip():
                yield number, [_unquoted(part.strip()) for part in line.rstrip("\n").split("\t")]


def _unquoted(text: str) -> str:
    inner = text[1:-1]
    enclosed = len(text) > 1 and text[0] == text[-1] == '"' and '"' not in inner.replace('""', "")
    return inner.replace('""', '"') if enclosed else text


def _tsv_records(path: Path, header: list[str]) -> Iterator[Record]:
    for number, fields in islice(_tsv_lines(path), 1, None):
        if len(fields) > len(header):
            raise DataError(f"'{path}', line {number} has {len(fields)} fields.", f"The first line names {len(header)}.",
                            "Remove the tabs inside its texts, or save the table as .jsonl.")
        yield f"line {number}", dict(zip(header, fields, strict=False))


def _visible(delimiter: str) -> str:
    return "\\t" if delimiter == "\t" else delimiter


def _parquet_table(path: Path) -> Table:
    import pyarrow
    from pyarrow.parquet import ParquetFile

    def damaged(error: Exception) -> DataError:
        said = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        return DataError(f"'{path}' cannot be read as Parquet: {said}.",
                         "A complete Parquet file was expected.", "Copy or export it again.")

    def read(columns: tuple[str, ...]) -> Iterator[Record]:
        number = 0
        try:
            # Otherwise a whole row group is fetched at once, and that may be the whole file.
            with ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file, path.open("rb") as raw:
                for group in range(file.metadata.num_row_groups):
                    rows = _rows_at_once(path, raw, file.metadata.row_group(group), columns)
                    for batch in file.iter_batches(batch_size=rows, row_groups=[group], columns=list(columns)):
                        for row in range(batch.num_rows):
                            number += 1
                            record = {name: column[row].as_py() for name, column in zip(batch.schema.names, batch.columns, strict=True)}
                            _check_lengths(path, number, record)
                            yield f"row {number}", record
        except MemoryError:  # Arrow's is an ArrowException too
            raise
        except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:  # UnicodeDecodeError is a ValueError
            raise damaged(error) from error

    try:
        with ParquetFile(path) as file:
            return Table(f"'{path}'", tuple(file.schema_arrow.names), read, file.metadata.num_rows, path.stat().st_size)
    except MemoryError:
        raise
    except (pyarrow.ArrowException, OSError) as error:
        raise damaged(error) from error


def _rows_at_once(path: Path, raw: BinaryIO, group: Any, columns: tuple[str, ...]) -> int:
    """Return how many rows of a group may be decoded together: so many that they take `PARQUET_BYTES` at most.

    A row's text stands in one page, or in the dictionary, so it takes no more than the larger of the two.

    Raises:
        DataError: a page that unpacks to more than `PARQUET_BYTES`.
        ValueError: no Parquet file.
    """
    largest = 1
    for number in range(group.num_columns):
        chunk = group.column(number)
        if any(chunk.path_in_schema == name or chunk.path_in_schema.startswith(f"{name}.") for name in columns):
            for page in pages(raw, chunk):
                if page.unpacked > PARQUET_BYTES:
                    raise DataError(f"'{path}', column '{chunk.path_in_schema}' has a page of {format_bytes(page.unpacked)}.",
                                    f"Pages of {format_bytes(PARQUET_BYTES)} at most are unpacked.",
                                    "Write the file with fewer rows a page (pyarrow's write_batch_size=16), or save it as .jsonl.")
                largest = max(largest, page.unpacked)
    return max(1, min(BATCH_ROWS, PARQUET_BYTES // largest))


def _check_lengths(path: Path, number: int, record: Mapping[str, Any]) -> None:
    for name, value in record.items():
        if isinstance(value, (str, bytes)) and len(value) > LONGEST_FIELD:
            raise DataError(f"'{path}', row {number} has a text of {len(value):,} characters in '{name}'.",
                            f"{LONGEST_FIELD:,} at most were expected of one text.", "Cut it into several rows.")


READERS: dict[str, Callable[[Path], Table]] = {".txt": _text_table, ".jsonl": _json_table, ".json": _json_table, ".csv": _csv_table,
                                               ".tsv": _tsv_table, ".parquet": _parquet_table}


# ---------------------------------------------------------------------------------------------------- text files


def _check_text(path: Path) -> None:
    """Raise DataError for a file that begins like UTF-16 or like no text at all."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"'{path}' is UTF-16 text.", "UTF-8 was expected.", converted(path, "UTF-16"))
    if b"\0" in head:
        raise DataError(f"'{path}' is not text: it holds zero bytes.", "UTF-8 text was expected.",
                        f"Save it as text, or as one of {suffixes()}.")


def _absent(path: Path) -> DataError:
    siblings = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, siblings, n=1)
    return DataError(f"There is no file '{path}'.", f"A {suffixes()} file was expected.",
                     f"Did you mean '{path.with_name(near[0])}'?" if near else "Check the path; it counts from the current folder.")


def _empty(path: Path) -> DataError:
    return DataError(f"'{path}' is empty.", "A file with text in it was expected.", "Choose another file, or export it again.")
