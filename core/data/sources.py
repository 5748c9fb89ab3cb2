"""Rows of anything but the house corpus: local files and hub datasets, read lazily, split by hash of the text.

A row is held out when the hash of its text, a number between 0 and 1, is below `data.validation_fraction`. Of many rows that holds out
about that fraction of the text; of few it may be far off, so there the limit is moved to where the amount of text fits. Of texts that
are too few to hold out whole ones the ends are held out.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Literal

from core.config import DataSpec
from core.data import movie_reviews, sources
from core.data.documents import LONGEST, cut_near, pieces
from core.data.formats import choose_columns, known_columns, row_format, to_row
from core.data.hub_datasets import open_hub
from core.data.rows import Located, Row
from core.data.tables import READERS, Table, open_file, suffixes
from core.errors import DataError, SetField
from core.system import reach

FEW = 2000  # rows; of more, those that the hash holds out are about the fraction
SHORTEST_END = 100  # characters; the end of a text that is worth holding out

# A path that ends like this is a file, here or missing, whether it can be read or not.
FILE_SUFFIXES = {*READERS, ".text", ".md", ".ndjson", ".arrow", ".xlsx", ".gz", ".zip", ".zst"}


@dataclass(frozen=True)
class Inspection:
    """What a source holds, as far as a short look shows.

    Attributes:
        format: ``text``, ``messages``, ``prompt+completion``, or ``house`` (conversations and plain reviews).
        column: the column that is read; "prompt, completion" when there are two.
        columns: all columns there are, to choose from.
        rows: the first rows as training would read them.
        total_rows: rows of the table (a long text makes several rows of one), or None where only reading all would tell.
        size: bytes; of the file or of the download, where known.
        note: how the file is divided into texts, where a look at it decided; a part of a sentence.
    """

    format: str
    column: str | None
    columns: tuple[str, ...]
    rows: list[Row]
    total_rows: int | None
    size: int | None
    note: str = ""


@dataclass(frozen=True)
class _Split:
    """Rows of a position below `threshold` are held out; or, where `ends` is set, that share of the end of every text."""

    threshold: float
    ends: float | None = None


def rows(spec: DataSpec, split: Literal["train", "validation"]) -> Iterator[Row]:
    """Yield the rows of one side of the split, in the source's order, one at a time.

    A row is held out when the hash of its text says so, so equal texts always stand on the same side, unless there are so few that
    their ends are held out. With `spec.max_rows`, both sides come from the beginning of the source: the validation rows are those met
    until that many training rows (and one validation row) were read. Texts longer than `core.data.documents.LONGEST` come in pieces.

    Raises:
        DataError: anything about the source that the user must fix; see `core.data.tables`, `formats` and `hub`.
        NetworkError: the hub cannot be reached.
    """
    yield from (row for _, row in located_rows(spec, split))


def located_rows(spec: DataSpec, split: Literal["train", "validation"]) -> Iterator[Located]:
    """Yield the rows of `rows`, each with the words by which messages name it."""
    require_end(spec)
    table, columns = _opened(spec)
    sides = _split(table, columns, spec)
    trained = held_out = 0
    for where, row in _rows(table, columns):
        if spec.max_rows is not None and trained >= spec.max_rows and held_out:
            return
        learnt, measured = (row, None) if position(row) >= sides.threshold else (None, row)
        if sides.ends is not None:
            learnt, measured = _without_end(row, sides.ends)
        if measured is not None:
            held_out += 1
            if split == "validation":
                yield where, measured
        if learnt is not None:
            trained += 1
            if split == "train" and trained <= (spec.max_rows or math.inf):
                yield where, learnt


def inspect(spec: DataSpec, limit: int = 20) -> Inspection:
    """Look at the first `limit` rows, for a form. Files and the house corpus need no heavy import; hub ids do.

    Raises:
        DataError: as `rows`, for what the first rows show.
        NetworkError: the hub cannot be reached.
    """
    if spec.source == movie_reviews.HOUSE:
        sample = list(movie_reviews.rows("train", seed=0, label_weight=spec.label_weight, limit=limit))
        return Inspection("house", None, (), sample, None, movie_reviews.corpus_path().stat().st_size)
    table, columns = _opened(spec)
    sample = [row for _, row in islice(_rows(table, columns), limit)]
    if not sample:
        raise _nothing(table)
    return Inspection(row_format(sample[0]), ", ".join(columns), table.columns, sample, table.total_rows, table.size, table.note)


def _opened(spec: DataSpec) -> tuple[Table, tuple[str, ...]]:
    """Return the source and the columns of it to read."""
    table = open_source(spec).with_column(spec.column)
    return table, choose_columns(table.columns, spec.column, table.origin, table.optional)


def require_end(spec: DataSpec) -> None:
    """Refuse a stream without a limit: a corpus of the size of the web would be read for ever. Raises DataError."""
    if spec.streaming and spec.max_rows is None and is_hub_id(spec.source):
        raise DataError(f"'{spec.source}' is to be read as it arrives, without an end.", "data.streaming needs data.max_rows.",
                        "Set data.max_rows, for example to 100000.", suggestion=SetField("data.max_rows", 100_000))


def open_source(spec: DataSpec) -> Table:
    """Return the file or hub dataset that `spec.source` names. Raises DataError when it can be neither."""
    if outside := reach.refusal(spec.source):
        raise DataError(*outside)
    path = Path(os.path.expanduser(spec.source))
    if is_hub_id(spec.source):
        return open_hub(spec)
    if _is_file(path) or re.search(r"[/\\]", spec.source):
        return open_file(path)
    raise DataError(f"'{spec.source}' is no file here and no hub id.", f"Expected: 'house', a {suffixes()} file, or owner/name on the hub.",
                    "Check the path; it counts from the current folder.")


def is_hub_id(source: str) -> bool:
    """Return whether a source is taken for a hub dataset: owner/name, unless it exists here or ends like a file of data."""
    return re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", source) is not None and not _is_file(Path(source))


def _is_file(path: Path) -> bool:
    return path.suffix.lower() in FILE_SUFFIXES or os.path.exists(path)  # unlike Path.exists, it takes names of any length


def position(row: Row) -> float:
    """Return a place between 0 and 1 that depends on the row's text alone, white space aside (SHA-256)."""
    words = "\n".join(" ".join(text.split()) for text in _texts(row))
    return int.from_bytes(hashlib.sha256(words.encode()).digest()[:6], "big") / 2**48


def _texts(row: Row) -> list[str]:
    if "messages" in row:
        return [message["content"] for message in row["messages"]]
    return [row[key] for key in ("text", "prompt", "completion") if key in row]


def _rows(table: Table, columns: tuple[str, ...]) -> Iterator[Located]:
    for where, record in table.read(columns):
        where = f"{table.origin}, {where}"
        row = to_row(record, columns, where, table.optional)
        if row is not None and len(row.get("text", "")) > LONGEST:
            yield from ((where, {"text": piece.strip()}) for piece in pieces(row["text"]) if piece.strip())
        elif row is not None:
            yield where, row


def _split(table: Table, columns: tuple[str, ...], spec: DataSpec) -> _Split:
    """Return how a source is divided. Reads `FEW` rows, or as many as there are or are wanted, and until both sides have one."""
    fraction, enough = spec.validation_fraction, min(FEW, spec.max_rows or FEW)
    amounts: dict[float, int] = {}  # position -> characters of all rows that stand there
    longest, plain = 0, True
    lowest, highest = math.inf, -math.inf
    for number, (_, row) in enumerate(_rows(table, columns), start=1):
        place, amount = position(row), sum(len(text.strip()) for text in _texts(row))
        amounts[place] = amounts.get(place, 0) + amount
        longest, plain = max(longest, amount), plain and "text" in row
        lowest, highest = min(lowest, place), max(highest, place)
        if number > enough and lowest < fraction <= highest:
            return _Split(fraction)
    if not amounts:
        raise _nothing(table)
    wanted = fraction * sum(amounts.values())
    threshold, found = _closest(amounts, fraction)
    can_be_cut = plain and longest * fraction >= SHORTEST_END
    if can_be_cut and not wanted / 2 <= found <= wanted * 2:
        return _Split(0.0, fraction)
    if len(amounts) == 1:
        raise DataError(f"{table.origin} holds a single text.", "At least two were expected: one to learn from, another to hold out; or a "
                        f"text so long that {fraction:.0%} of it are {SHORTEST_END} characters.",
                        "Add more, or separate the parts of a .txt file with blank lines.")
    return _Split(threshold)


def _closest(amounts: Mapping[float, int], fraction: float) -> tuple[float, int]:
    """Return the position below which an amount of text lies that is closest to `fraction` of all, and that amount.

    The fraction itself where what lies below it is close enough; neither side is left empty as long as there are two positions.
    """
    wanted = fraction * sum(amounts.values())
    below = sum(amount for place, amount in amounts.items() if place < fraction)
    if min(amounts) < fraction <= max(amounts) and wanted * 0.8 <= below <= wanted * 1.25:
        return fraction, below
    best, reached = (math.inf, 0.0, 0), 0
    for place, following in pairwise(sorted(amounts)):
        reached += amounts[place]
        best = min(best, (abs(reached - wanted), following, reached))
    return best[1:]


def _without_end(row: Row, fraction: float) -> tuple[Row, Row | None]:
    """Return a text without its end, and its end, which is about `fraction` of it; None for the end of a text too short to have one."""
    text = row["text"].strip()
    if len(text) * fraction < SHORTEST_END:
        return row, None
    at = cut_near(text, 1 - fraction)
    return {"text": text[:at].strip()}, {"text": text[at:].strip()}


def _nothing(table: Table) -> DataError:
    return DataError(f"{table.origin} holds no row with text in it.", "At least two rows with text were expected.",
                     "Choose another column or file.")


def prompts(source: str) -> DataSpec:
    """Return how a bridge's prompts are read: a file may have a column of them and no answers. Raises DataError."""
    spec = DataSpec(source=source)
    if source == movie_reviews.HOUSE or sources.is_hub_id(source):
        return spec
    columns = sources.open_source(spec).columns
    return spec.model_copy(update={"column": "prompt"}) if "prompt" in columns and known_columns(columns) is None else spec
