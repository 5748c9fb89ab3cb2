"""Files as tables: what is read, what is refused, how much memory it takes."""

import csv
import json
import os
import tracemalloc
from io import StringIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.data import json_records
from core.data.tables import BATCH_ROWS, open_file
from core.errors import DataError

BOM = b"\xef\xbb\xbf"


@pytest.fixture
def make(tmp_path):
    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path
    return write


def records(path: Path) -> list[dict]:
    table = open_file(path)
    return [dict(record) for _, record in table.read(table.columns)]


def refusal(path: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        records(path)
    assert path.name in caught.value.given
    assert caught.value.expected
    assert caught.value.fix
    return caught.value


# ---------------------------------------------------------------------------------------------------- .txt


def test_text_with_bom_and_crlf(make) -> None:
    assert records(make("a.txt", BOM + "one\r\ntwo\r\n\r\nthrée".encode())) == [{"text": "one\ntwo"}, {"text": "thrée"}]


# ---------------------------------------------------------------------------------------------------- .jsonl


def test_jsonl_with_bom_blank_lines_and_crlf(make) -> None:
    path = make("a.jsonl", BOM + b'\r\n{"text": "one"}\r\n\r\n  \n{"text": "two\\nlines"}')
    table = open_file(path)
    assert table.columns == ("text",)
    assert list(table.read(("text",))) == [("line 2", {"text": "one"}), ("line 5", {"text": "two\nlines"})]


def test_jsonl_line_separators_inside_a_text_end_no_line(make) -> None:
    assert records(make("a.jsonl", '{"text": "one\u2028two\x85three"}\n')) == [{"text": "one\u2028two\x85three"}]


@pytest.mark.parametrize(("line", "problem"), [('{"text": "two"', "line 2 is not JSON"), ('"two"', "line 2 holds str"),
                                               ("[" * 200_000, "line 2 is not JSON")])
def test_a_broken_json_line_is_named(make, line, problem) -> None:
    assert problem in refusal(make("a.jsonl", '{"text": "one"}\n' + line)).given


def test_a_column_that_the_first_line_lacks(make) -> None:
    lines = [{"id": number} for number in range(1500)]
    lines[700]["review"], lines[1400]["late"] = "one", "two"
    table = open_file(make("a.jsonl", "\n".join(map(json.dumps, lines))))
    assert (table.columns, table.optional) == (("id", "review"), {"review"})
    assert table.with_column("review") is table
    assert (table.with_column("late").columns, table.with_column("late").optional) == (("id", "review", "late"), {"review", "late"})
    assert table.with_column("absent") is table
    assert table.with_column(None) is table


# ---------------------------------------------------------------------------------------------------- .json


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_a_json_list(make, name) -> None:
    path = make(name, BOM + b'\n[{"text": "one [1, 2]"},\n\n {"text": "two", "more": {"a": [1]}}\n]\n')
    table = open_file(path)
    assert (table.columns, table.optional) == (("text", "more"), {"more"})
    assert list(table.read(("text",))) == [("item 1", {"text": "one [1, 2]"}), ("item 2", {"text": "two", "more": {"a": [1]}})]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=9) | st.integers() | st.none() | st.lists(st.booleans()))))
def test_any_json_list_is_what_json_says(tmp_path, monkeypatch, items) -> None:
    monkeypatch.setattr(json_records, "HEAD", 7)  # items are longer than what is read at once
    path = tmp_path / "a.json"
    path.write_text(json.dumps(items, indent=1))
    assert [item for _, item in json_records.json_items(path)] == items


def test_a_json_list_is_read_an_item_at_a_time(make) -> None:
    path = make("a.json", json.dumps([{"text": "x" * 1000, "number": number} for number in range(20_000)]))
    table = open_file(path)
    tracemalloc.start()
    assert sum(1 for _ in table.read(("text",))) == 20_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000 < path.stat().st_size


@pytest.mark.parametrize(("content", "given"), [
    ("[]", "is empty"), ('[{"text": "one"}, 5]', "item 2 holds int"), ('[{"text": "one"}, {"text": }]', "item 2 is not JSON"),
    ('[{"text": "one"}', "item 2 is not JSON"), ('{"text": "one"}\nthree', "line 2 is not JSON"), ("[" * 100_000, "item 1 is not JSON"),
    ('{\n "text": "one"\n}', "line 1 is not JSON"),
])
def test_json_that_cannot_be_read(make, content, given) -> None:
    assert given in refusal(make("a.json", content)).given


def test_json_may_hold_an_object_on_each_line(make) -> None:
    assert records(make("a.json", '{"text": "one"}\n{"text": "two"}\n')) == [{"text": "one"}, {"text": "two"}]


# ---------------------------------------------------------------------------------------------------- .csv


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_delimiters(make, delimiter) -> None:
    path = make("a.csv", delimiter.join(["label", "text"]) + "\n" + delimiter.join(["1", '"a, b; c\td|e"']) + "\n")
    assert records(path) == [{"label": "1", "text": "a, b; c\td|e"}]


def test_csv_quotes_line_ends_bom_and_crlf(make) -> None:
    path = make("a.csv", BOM + b'label, "text"\r\n1,"He said ""no"",\r\nthen left"\r\n\r\n2,5" screen\r\n')
    assert records(path) == [{"label": "1", "text": 'He said "no",\r\nthen left'}, {"label": "2", "text": '5" screen'}]


def test_csv_lines_are_numbered_where_a_record_begins(make) -> None:
    table = open_file(make("a.csv", 'text\n"one\ntwo"\nthree\n'))
    assert [where for where, _ in table.read(("text",))] == ["line 2", "line 4"]


def test_csv_of_one_column_whose_name_holds_a_comma_elsewhere(make) -> None:
    assert open_file(make("a.csv", "text\tlabel, from 0 to 1, rounded\nx\t1\n")).columns == ("text", "label, from 0 to 1, rounded")


def test_csv_old_mac_line_ends(make) -> None:
    assert records(make("a.csv", "text,label\rone,1\rtwo,2\r")) == [{"text": "one", "label": "1"}, {"text": "two", "label": "2"}]


def test_csv_unquoted_delimiters_are_not_dropped(make) -> None:
    error = refusal(make("a.csv", "text\nfine\nHello, world\n"))
    assert "line 3 has 2 fields" in error.given
    assert "double quotes" in error.fix


def test_csv_empty_fields_beyond_the_header_do_no_harm(make) -> None:
    assert records(make("a.csv", "text,label\none,1,,\n")) == [{"text": "one", "label": "1"}]


@pytest.mark.parametrize("body", ['"never closed\nmore\n', '"closed" too early\n'])
def test_csv_broken_quotes_are_named(make, body) -> None:
    assert "begins at line 3" in refusal(make("a.csv", f"text\nfine\n{body}")).given


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.sampled_from('ab ,;|\t"\n\r\'é'), max_size=12), min_size=1, max_size=5), st.sampled_from(",;\t|"),
       st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]))
def test_csv_reads_what_was_written(make, texts, delimiter, quoting) -> None:
    written = StringIO()
    writer = csv.writer(written, delimiter=delimiter, quoting=quoting)
    writer.writerows([["label", "text"], *(["1", text] for text in texts)])
    found = [record["text"] for record in records(make("a.csv", written.getvalue()))]
    if quoting == csv.QUOTE_MINIMAL:  # blanks in front of a text belong to it between quotes only
        found, texts = [text.lstrip(" ") for text in found], [text.lstrip(" ") for text in texts]
    assert found == texts


def test_csv_fields_longer_than_the_usual_limit(make) -> None:
    long = "word " * 100_000
    assert records(make("a.csv", f'text\n"{long}"\n')) == [{"text": long}]


# ---------------------------------------------------------------------------------------------------- .parquet


def test_parquet_nested_messages(tmp_path) -> None:
    path = tmp_path / "a.parquet"
    messages = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}]
    pq.write_table(pa.Table.from_pylist([{"id": number, "messages": messages} for number in range(BATCH_ROWS + 3)]), path)
    table = open_file(path)
    assert (table.columns, table.total_rows, table.size) == (("id", "messages"), BATCH_ROWS + 3, path.stat().st_size)
    read = list(table.read(("messages",)))
    assert read[-1] == (f"row {BATCH_ROWS + 3}", {"messages": messages})
    assert len(read) == BATCH_ROWS + 3


def test_parquet_that_is_none(make) -> None:
    assert "cannot be read as Parquet" in refusal(make("a.parquet", "not Parquet at all")).given


def test_damaged_parquet(tmp_path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [f"{number} " * 200 for number in range(2000)]}), path, compression="snappy")
    content = bytearray(path.read_bytes())
    content[100:5000] = os.urandom(4900)
    path.write_bytes(content)
    assert "cannot be read as Parquet" in refusal(path).given


def test_parquet_text_that_is_not_utf8(tmp_path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": pa.array([b"caf\xe9"]).cast(pa.binary()).view(pa.string())}), path)
    assert "utf-8" in refusal(path).given


# ---------------------------------------------------------------------------------------------------- any file


def test_an_absent_file_suggests_a_near_name(make) -> None:
    path = make("reviews.txt", "x")
    error = refusal(path.with_name("reviws.txt"))
    assert "no file" in error.given
    assert "reviews.txt" in error.fix


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv", "a.parquet"])
def test_empty_files(make, name) -> None:
    assert "is empty" in refusal(make(name, "")).given


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_files_of_blank_lines(make, name) -> None:
    assert "is empty" in refusal(make(name, BOM + b"\n\n\n")).given


def test_folders_and_other_kinds(make, tmp_path) -> None:
    assert "is a folder" in refusal(tmp_path).given
    assert "ends in '.pdf'" in refusal(make("a.pdf", "x")).given


def test_suffixes_in_capitals(make) -> None:
    assert records(make("A.CSV", "text\nx\n")) == [{"text": "x"}]


@pytest.mark.parametrize(("name", "content", "line"), [
    ("a.txt", b"one\ntwo\ncaf\xe9\n", "line 3"),
    ("a.jsonl", b'{"text": "one"}\n{"text": "caf\xe9"}\n', "line 2"),
    ("a.csv", b"text\none\ncaf\xe9\n", "line 3"),
])
def test_text_that_is_not_utf8_names_the_byte(make, name, content, line) -> None:
    error = refusal(make(name, content))
    assert f"{line} is not UTF-8: byte 0xE9" in error.given
    assert "iconv" in error.fix


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv"])
def test_utf16_and_binary_files(make, name) -> None:
    assert "UTF-16" in refusal(make(name, "text\nHello\n".encode("utf-16"))).fix
    assert "zero bytes" in refusal(make(name, b"text\n\0\0\0")).given


def test_a_character_cut_off_at_the_end(make) -> None:
    assert "line 1 is not UTF-8" in refusal(make("a.txt", "né".encode()[:-1])).given


def test_files_without_permission(make, monkeypatch) -> None:
    path = make("a.txt", "x")

    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")
    monkeypatch.setattr(Path, "open", refuse)
    assert "permission denied" in refusal(path).given


@pytest.mark.parametrize("name", ["big.txt", "big.jsonl", "big.csv", "big.parquet"])
def test_reading_takes_little_memory(tmp_path, name) -> None:
    path, count, text = tmp_path / name, 4000, "some words of a review " * 220  # 20 MB in all
    if name.endswith("parquet"):
        # One row group, uncompressed; different texts, or it would hold one only.
        pq.write_table(pa.table({"text": [f"{number} {text}" for number in range(count)]}), path, compression="none")
    else:
        head = "text\n" if name.endswith("csv") else ""
        line = json.dumps({"text": text}) + "\n" if name.endswith("jsonl") else text + "\n" + "\n" * name.endswith("txt")
        path.write_text(head + line * count)
    table = open_file(path)
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    most = seen = 0
    for _ in table.read(("text",)):
        seen += 1
        most = max(most, pa.total_allocated_bytes() - before)
    most += tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seen == count
    assert most < 14 << 20
