"""How much the pages of a Parquet file unpack to, read from their headers before anything is unpacked.

A page is the smallest part of a column that can be read: it is decompressed as a whole, however few rows are requested, and a few
kilobytes may stand for gigabytes. Its size stands in its header, a struct in Thrift's compact protocol in front of its bytes
(https://github.com/apache/parquet-format, PageHeader; https://github.com/apache/thrift, thrift-compact-protocol.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

LONGEST_HEADER = 1 << 20  # bytes of a page's header; statistics of its values stand in it
_DEEPEST = 8  # structs inside each other; a page's header has three
_STOP, _TRUE, _FALSE, _BYTE, _I64, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 0, 1, 2, 3, 6, 7, 8, 9, 10, 12


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a column: the bytes that it unpacks to, and those that it takes in the file behind its header."""

    unpacked: int
    stored: int


def pages(file: BinaryIO, chunk: Any) -> Iterator[Page]:
    """Yield the pages of a column in one group of rows, the dictionary first where there is one.

    Args:
        chunk: of pyarrow's metadata, `RowGroupMetaData.column`.

    Raises:
        ValueError: a header that is none.
    """
    place = min(offset for offset in (chunk.dictionary_page_offset, chunk.data_page_offset) if offset)
    end = place + chunk.total_compressed_size
    while place < end:
        file.seek(place)
        head = file.read(1 << 12)
        try:
            fields, length = _struct(head, 0)
        except IndexError:
            head += file.read(LONGEST_HEADER)
            try:
                fields, length = _struct(head, 0)
            except IndexError as error:
                raise ValueError(f"the page at byte {place} has no header") from error
        unpacked, stored = fields.get(2), fields.get(3)
        if not isinstance(unpacked, int) or not isinstance(stored, int) or unpacked < 0 or stored < 0:
            raise ValueError(f"the page at byte {place} has no size")
        yield Page(unpacked, stored)
        place += length + stored


def _struct(data: bytes, place: int, depth: int = 0) -> tuple[dict[int, int], int]:
    """Return the whole numbers of a struct by field, and where it ends. Raises IndexError where the data end before it."""
    fields: dict[int, int] = {}
    number = 0
    while (head := data[place]) != _STOP:
        place += 1
        kind = head & 15
        if head >> 4:
            number += head >> 4
        else:
            number, place = _signed(data, place)
        if kind in (_TRUE, _FALSE):
            continue
        value, place = _value(data, place, kind, depth)
        if isinstance(value, int):
            fields[number] = value
    return fields, place + 1


def _value(data: bytes, place: int, kind: int, depth: int) -> tuple[int | None, int]:
    """Return a whole number, or None for another kind of value, and where it ends."""
    if depth > _DEEPEST:
        raise ValueError("a page's header is nested too deeply")
    if kind in (_TRUE, _FALSE, _BYTE):  # switches take a byte inside lists alone
        return None, place + 1
    if kind <= _I64:
        return _signed(data, place)
    if kind == _DOUBLE:
        return None, place + 8
    if kind == _BINARY:
        length, place = _varint(data, place)
        return None, place + length
    if kind == _STRUCT:
        return None, _struct(data, place, depth + 1)[1]
    if kind in (_LIST, _SET):
        head, place = data[place], place + 1
        count, place = (head >> 4, place) if head >> 4 < 15 else _varint(data, place)
        for _ in range(count):
            _, place = _value(data, place, head & 15, depth + 1)
        return None, place
    raise ValueError(f"a page's header holds a value of kind {kind}")


def _varint(data: bytes, place: int) -> tuple[int, int]:
    result = 0
    for shift in range(0, 70, 7):
        byte = data[place]
        place += 1
        result |= (byte & 127) << shift
        if byte < 128:
            return result, place
    raise ValueError("a page's header holds a number without end")


def _signed(data: bytes, place: int) -> tuple[int, int]:
    number, place = _varint(data, place)
    return (number >> 1) ^ -(number & 1), place
