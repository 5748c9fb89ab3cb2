"""Files of JSON as records: a list of objects, or an object on each line, of which one at a time is in memory.

A few megabytes of JSON may stand for gigabytes of Python's lists, so what a record holds is counted before it is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from core.data.formats import require_characters
from core.data.text_files import HEAD, LONGEST_FIELD, lines, open_text
from core.errors import DataError
from core.system.plain_data import MAX_JSON_VALUES, PlainDataError, json_values, parse_json

Record = tuple[str, Mapping[str, Any]]  # where it stands ("line 7", "row 7"), and its values by column

MOST_AHEAD = 1 << 23  # characters of a list that are read at once where an item is that long
LONGEST_TOKEN = 1000  # characters of a number or an escape that may have been cut off where a part of a file ends
SPACE = re.compile(r"\s*")


def json_lines(path: Path) -> Iterator[Record]:
    """Yield the objects of a file that has one on each line."""
    with open_text(path) as file:
        for number, line in enumerate(lines(file, path), start=1):
            if not line.strip():
                continue
            if json_values(line) > MAX_JSON_VALUES:
                raise _too_many(path, f"line {number}")
            try:
                record = parse_json(line)
            except PlainDataError as error:
                at = f" (character {error.column})" if error.column else ""
                raise DataError(f"'{path}', line {number} is not JSON: {error.problem}{at}.", "One object on each line was expected.",
                                "Correct that line, or remove it.") from error
            yield f"line {number}", _checked(path, f"line {number}", record, '{"text": "..."}')


def json_items(path: Path) -> Iterator[Record]:
    """Yield the objects of a JSON array, of which no more than one and what was read ahead is in memory."""
    decoder = json.JSONDecoder()

    def broken(problem: object) -> DataError:
        return DataError(f"'{path}', item {number + 1} is not JSON: {problem}.", "A list of objects was expected, [{...}, {...}].",
                         "Correct that item, or remove it.")

    with open_text(path) as file:
        buffer, number = file.read(HEAD), 0
        at = buffer.index("[") + 1
        while True:
            buffer, at = _from_next(buffer, at, file)
            if number and buffer.startswith(",", at):
                buffer, at = _from_next(buffer, at + 1, file)
            if buffer.startswith("]", at):
                buffer, at = _from_next(buffer, at + 1, file)
                if buffer:
                    raise broken("the list has ended in front of it")
                return
            while True:
                try:
                    item, end = decoder.raw_decode(buffer, at)
                    break
                except (ValueError, RecursionError) as error:
                    cut = isinstance(error, json.JSONDecodeError) and (
                        error.msg.startswith("Unterminated") or error.pos >= len(buffer) - LONGEST_TOKEN)
                    more = file.read(min(max(len(buffer), HEAD), MOST_AHEAD)) if cut and len(buffer) - at < LONGEST_FIELD else ""
                    if not more:
                        raise broken(error) from error
                    buffer, at = buffer[at:] + more, 0
                if len(buffer) > MAX_JSON_VALUES and json_values(buffer) > MAX_JSON_VALUES:
                    raise _too_many(path, f"item {number + 1}")
            number += 1
            yield f"item {number}", _checked(path, f"item {number}", item, '[{"text": "..."}]')
            at = end


def _from_next(buffer: str, at: int, file: TextIO) -> tuple[str, int]:
    """Return what is read ahead, and where its next character stands that is no white space; nothing at the end of the file."""
    while (at := SPACE.match(buffer, at).end()) == len(buffer):  # type: ignore[union-attr]  # it matches anywhere
        buffer, at = file.read(HEAD), 0
        if not buffer:
            break
    return (buffer[at:], 0) if at > len(buffer) // 2 else (buffer, at)


def _checked(path: Path, where: str, record: Any, example: str) -> dict[str, Any]:
    """Return a record that is an object with names of complete characters. Raises DataError."""
    if not isinstance(record, dict):
        raise DataError(f"'{path}', {where} holds {type(record).__name__}, not an object.", f"An object was expected, as in {example}.",
                        f"Correct that {where.split()[0]}, or remove it.")
    for name in record:
        require_characters(name, f"'{path}', {where}: the name of a column")
    return record


def _too_many(path: Path, where: str) -> DataError:
    return DataError(f"'{path}', {where} holds more than {MAX_JSON_VALUES:,} values.",
    "One text or conversation was expected in each record.",
                     "Cut it into several records.")
