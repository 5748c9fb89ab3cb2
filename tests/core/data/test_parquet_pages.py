"""Pages of Parquet files: their sizes are known before one of them is unpacked."""

from __future__ import annotations

import io
import random
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from core.data import tables
from core.data.parquet_pages import pages
from core.errors import DataError


def _write(path: Path, values: dict[str, list], **options: Any) -> Path:
    parquet.write_table(pyarrow.table(values), path, **options)
    return path


def _pages(path: Path, column: int = 0) -> list:
    with path.open("rb") as file:
        metadata = parquet.read_metadata(path)
        return [page for group in range(metadata.num_row_groups) for page in pages(file, metadata.row_group(group).column(column))]


@pytest.mark.parametrize("options", [
    {}, {"use_dictionary": False}, {"compression": "none"}, {"compression": "zstd"}, {"data_page_version": "2.0"}, {"data_page_size": 500},
    {"write_page_checksum": True}, {"row_group_size": 90}, {"write_statistics": False}, {"write_page_index": True}])
def test_the_pages_fill_a_column_exactly(options: dict, tmp_path: Path):
    """What the headers say, with the headers themselves, is what the file's own metadata say of the column."""
    path = _write(tmp_path / "a.parquet", {"text": [f"text {number} " * 20 for number in range(1000)], "n": list(range(1000))}, **options)
    metadata = parquet.read_metadata(path)
    for column in range(2):
        chunks = [metadata.row_group(group).column(column) for group in range(metadata.num_row_groups)]
        found = _pages(path, column)
        stored, unpacked = sum(chunk.total_compressed_size for chunk in chunks), sum(chunk.total_uncompressed_size for chunk in chunks)
        headers = stored - sum(page.stored for page in found)
        assert 0 < headers < 500 * len(found)
        assert sum(page.unpacked for page in found) + headers == unpacked


def test_long_statistics_stand_in_a_header(tmp_path: Path):
    path = _write(tmp_path / "a.parquet", {"text": ["x" * 4000, "y" * 4000]}, use_dictionary=False, compression="none")
    assert [page.unpacked for page in _pages(path)] == [page.stored for page in _pages(path)]
    assert sum(page.unpacked for page in _pages(path)) > 8000


def test_a_page_beyond_the_bound_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = _write(tmp_path / "a.parquet", {"text": ["short"] * 20, "other": ["x" * 10_000] * 20}, use_dictionary=False, compression="zstd")
    monkeypatch.setattr(tables, "PARQUET_BYTES", 50_000)
    assert len(list(tables.open_file(path).read(("text",)))) == 20  # a column that is not read is not looked at
    with pytest.raises(DataError, match=r"column 'other' has a page of 200"):
        next(tables.open_file(path).read(("other",)))


def test_rows_are_decoded_together_by_their_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = _write(tmp_path / "a.parquet", {"text": [str(number) * 1000 for number in range(200)]}, use_dictionary=False, data_page_size=100,
                  write_batch_size=1)
    decoded: list[int] = []
    whole = parquet.ParquetFile.iter_batches

    def counted(self: Any, batch_size: int, **options: Any) -> Any:
        decoded.append(batch_size)
        return whole(self, batch_size=batch_size, **options)

    monkeypatch.setattr(parquet.ParquetFile, "iter_batches", counted)
    for bound, rows in ((1 << 27, 64), (30_000, 9), (4000, 1)):
        monkeypatch.setattr(tables, "PARQUET_BYTES", bound)
        assert [record["text"] for _, record in tables.open_file(path).read(("text",))] == [str(number) * 1000 for number in range(200)]
        assert decoded.pop() == rows


def test_a_text_beyond_the_longest_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = _write(tmp_path / "a.parquet", {"text": ["short", "x" * 2000]})
    monkeypatch.setattr(tables, "LONGEST_FIELD", 1000)
    with pytest.raises(DataError, match="row 2 has a text of 2,000 characters"):
        list(tables.open_file(path).read(("text",)))


@pytest.mark.parametrize("seed", range(20))
def test_damaged_headers_are_refused(seed: int, tmp_path: Path):
    draw = random.Random(seed)
    path = _write(tmp_path / "a.parquet", {"text": [f"text {number}" for number in range(50)]}, compression="none")
    content = bytearray(path.read_bytes())
    for _ in range(3):
        content[draw.randrange(4, 60)] = draw.randrange(256)
    path.write_bytes(content)
    with suppress(DataError):
        assert len(list(tables.open_file(path).read(("text",)))) <= 50


@pytest.mark.parametrize("header", [b"\x19" * 5000, b"\x1c" * 5000, b"\x19\xf9" + b"\xff" * 4 + b"\x07", b"\x15\x00" * 3])
def test_a_header_that_is_nested_without_end_is_refused(header: bytes):
    """Lists of lists, structs of structs, a list of very many lists, and one that just ends."""
    chunk = SimpleNamespace(dictionary_page_offset=None, data_page_offset=4, total_compressed_size=1 << 40)
    with pytest.raises(ValueError, match=r"nested too deeply|has no header|has no size"):
        list(pages(io.BytesIO(b"PAR1" + header), chunk))


def test_a_date_that_python_does_not_know_is_refused(tmp_path: Path):
    dates = pyarrow.array([0, 2**31 - 1], pyarrow.date32())
    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"text": dates}), path)
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        list(tables.open_file(path).read(("text",)))
