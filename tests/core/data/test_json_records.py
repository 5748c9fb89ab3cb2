"""Records of JSON: what is refused before it takes the machine's memory, and that what is read costs no more than it is long."""

from __future__ import annotations

import json
import tracemalloc
from io import StringIO
from pathlib import Path

import pytest

from core.data import json_records, text_files
from core.data.tables import open_file
from core.errors import DataError

MANY = "[" + "[]," * json_records.MAX_JSON_VALUES + "1]"  # a list of lists: 24 bytes of memory for each of its bytes


def records(path: Path) -> list:
    table = open_file(path)
    return list(table.read(table.columns))


@pytest.fixture
def refusal(tmp_path: Path):
    def refused(name: str, content: str) -> DataError:
        (tmp_path / name).write_text(content, encoding="utf-8")
        with pytest.raises(DataError) as caught:
            records(tmp_path / name)
        assert caught.value.expected and caught.value.fix
        return caught.value
    return refused


@pytest.mark.parametrize(("name", "content", "where"), [
    ("a.jsonl", f'{{"text": {MANY}}}\n', "line 1"), ("a.jsonl", f'{{"text": "one"}}\n{{"text": "two", "x": {MANY}}}\n', "line 2"),
    ("a.json", f'[{{"text": {MANY}}}]', "item 1"), ("a.json", f'[{{"text": "one"}}, {{"text": "two", "x": {MANY}}}]', "item 2")])
def test_a_record_of_very_many_values_is_refused_before_it_is_read(refusal, name: str, content: str, where: str) -> None:
    tracemalloc.start()
    assert f"{where} holds more than 1,000,000 values" in refusal(name, content).given
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000_000


def test_a_line_longer_than_a_text_may_be_is_not_read_on(refusal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "LONGEST_FIELD", 100)
    for name, header in (("a.jsonl", '{"text": "one"}\n'), ("a.tsv", "text\n"), ("a.csv", "text\n")):
        assert "line 2 has more than 100 characters" in refusal(name, f"{header}{'x' * 1000}\n").given
    assert next(text_files.lines(StringIO(f"{'x' * 99}\n"), Path("x"))) == f"{'x' * 99}\n"


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_half_a_character_in_the_name_of_a_column(refusal, name: str) -> None:
    error = refusal(name, '[{"text": "one", "\\ud800": 1}]' if name == "a.json" else '{"text": "one", "\\ud800": 1}\n')
    assert "the name of a column holds '\\ud800', half of a character" in error.given


@pytest.mark.parametrize("behind", ['[{"text": "two"}]', '{"text": "two"}', " x", ","])
def test_what_follows_a_list_is_not_dropped(refusal, behind: str) -> None:
    assert "the list has ended in front of it" in refusal("a.json", f'[{{"text": "one"}}]\n{behind}').given


def test_what_is_broken_at_once_is_said_at_once(refusal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not after the rest of the file was read in the hope that it completes the item."""
    reads: list[int] = []

    class Counted(StringIO):
        def read(self, size: int | None = -1) -> str:
            reads.append(size or 0)
            return super().read(size)

    rest = ", ".join(['{"text": "one"}'] * 100_000)
    monkeypatch.setattr(text_files.Path, "open", lambda _path, *_, **__: Counted(f'[{{"text": "one" "two"}}, {rest}]'))
    with pytest.raises(DataError, match="item 1 is not JSON"):
        list(json_records.json_items(Path("a.json")))
    assert len(reads) == 1


def test_a_long_item_in_front_of_many_short_ones_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read ahead with it is not copied for each of them."""
    monkeypatch.setattr(json_records, "HEAD", 1000)
    copied = 0

    class Text(str):
        def __getitem__(self, part: object) -> Text:
            nonlocal copied
            found = Text(super().__getitem__(part))  # type: ignore[index]
            copied += len(found)
            return found

        def __add__(self, other: str) -> Text:
            return Text(str.__add__(self, other))

    items = [{"text": "x" * 100_000}, *({"text": str(number)} for number in range(5000))]
    text = Text(json.dumps(items))

    class Held(StringIO):
        def read(self, size: int | None = -1) -> str:
            return Text(super().read(size))

    monkeypatch.setattr(text_files.Path, "open", lambda _path, *_, **__: Held(text))
    assert [item for _, item in json_records.json_items(tmp_path)] == items
    assert copied < 4 * len(text)


def test_a_table_of_very_many_columns(refusal) -> None:
    names = [str(number) for number in range(10_001)]
    assert "has 10,001 columns" in refusal("a.jsonl", json.dumps(dict.fromkeys(names, 1))).given
    assert "columns" in refusal("b.jsonl", "\n".join(json.dumps(dict.fromkeys(names[at:at + 100], 1)) for at in range(0, 10_001,
    100))).given
    assert "has 10,001 columns" in refusal("a.tsv", "\t".join(names) + "\n").given
    assert "has 10,001 columns" in refusal("a.csv", ",".join(names) + "\n").given
