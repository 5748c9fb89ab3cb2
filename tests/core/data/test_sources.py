"""Which rows a source gives to training and which are held out."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from core.config import DataSpec
from core.data import sources
from core.data.documents import LONGEST
from core.data.sources import position
from core.errors import DataError


@pytest.fixture
def jsonl(tmp_path):
    def write(records: list, name: str = "a.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps({"text": record} if isinstance(record, str) else record) + "\n" for record in records))
        return path
    return write


def sides(path: Path, **options) -> tuple[list, list]:
    spec = DataSpec(source=str(path), **options)
    return tuple([row.get("text", row) for row in sources.rows(spec, side)] for side in ("train", "validation"))


def test_every_row_stands_on_one_side_in_order(jsonl) -> None:
    texts = [f"Review {number}." for number in range(2000)]
    train, validation = sides(jsonl(texts), validation_fraction=0.1)
    assert sorted(train + validation, key=texts.index) == texts
    assert train == sorted(train, key=texts.index)
    assert 150 < len(validation) < 250


def test_equal_texts_stand_on_the_same_side(jsonl) -> None:
    texts = [f"Review {number}." for number in range(300)]
    with_other_spaces = [f"  {text} ".replace(" ", "\n") for text in texts]
    train, validation = sides(jsonl([*texts, *reversed(texts), *with_other_spaces]), validation_fraction=0.3)
    plain = [{" ".join(text.split()) for text in side} for side in (train, validation)]
    assert not plain[0] & plain[1]
    assert len(train) == 3 * len(plain[0])
    assert len(validation) == 3 * len(plain[1])


def test_the_side_depends_on_the_text_alone(jsonl) -> None:
    texts = [f"Review {number}." for number in range(200)]
    forward, backward = (set(sides(jsonl(some), validation_fraction=0.2)[1]) for some in (texts, texts[::-1]))
    assert forward == backward
    wider = set(sides(jsonl(texts), validation_fraction=0.4)[1])
    assert forward < wider


def test_the_position_reads_all_of_a_row() -> None:
    conversation = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}]
    places = {position({"messages": conversation}), position({"messages": conversation[:1]}), position({"prompt": "a", "completion": "b"}),
              position({"prompt": "a", "completion": "c"}), position({"text": "a"})}
    assert len(places) == 5
    assert all(0 <= place < 1 for place in places)


@pytest.mark.parametrize("fraction", [0.001, 0.5, 0.999])
def test_neither_side_of_a_small_source_is_empty(jsonl, fraction) -> None:
    for count in range(2, 8):
        texts = [f"Small {number}." for number in range(count)]
        train, validation = sides(jsonl(texts), validation_fraction=fraction)
        assert train
        assert validation
        assert sorted(train + validation) == texts


@pytest.mark.parametrize("texts", [["only one"], ["twice", "twice", " twice"]])
def test_a_single_text_cannot_be_divided(jsonl, texts) -> None:
    with pytest.raises(DataError, match="holds a single text") as caught:
        sides(jsonl(texts))
    assert "blank lines" in caught.value.fix


LINES = {"short": lambda n: f"short line {n} about the river 😀", "chinese": lambda n: f"安静的河流在桥边缓缓流过，第{n}号花园。",
         "uneven": lambda n: f"Line {n}" + " of the quiet river" * (n * n % 23),
         "long": lambda n: f"Line {n}." + " The river is quiet." * 30}


def share(train: list[str], validation: list[str]) -> float:
    learnt, measured = (sum(map(len, side)) for side in (train, validation))
    return measured / (learnt + measured)


@pytest.mark.parametrize("count", [40, 300, 1500, 3000])
@pytest.mark.parametrize("kind", LINES)
def test_lines_are_divided_by_the_amount_of_text_alike_in_both_kinds_of_files(tmp_path, jsonl, kind, count) -> None:
    lines = [LINES[kind](number) for number in range(count)]
    path = tmp_path / "a.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    train, validation = sides(path)
    assert sorted(train + validation) == sorted(lines)
    assert 0.038 < share(train, validation) < 0.065
    assert (train, validation) == sides(jsonl(lines))


@pytest.mark.parametrize("length", [2500, 12_000, 60_000, 400_000])
def test_one_text_is_divided_by_its_amount(tmp_path, length) -> None:
    sentence = "the quiet river holds a small lamp near the bridge and nobody in the town ever found who lit it there last night, or why. "
    text = textwrap.fill((sentence * (length // len(sentence) + 1))[:length], 76)
    path = tmp_path / "a.txt"
    path.write_text(text)
    train, validation = sides(path)
    assert 0.03 < share(train, validation) < 0.07
    assert sum(len("".join(part.split())) for part in train + validation) == len("".join(text.split()))
    found = sources.inspect(DataSpec(source=str(path)))
    assert found.note == "the whole file is one text"


def test_of_few_texts_the_ends_are_held_out(jsonl) -> None:
    texts = [f"Story {number}. " + "The quiet river holds a small lamp. " * (200 + number) for number in range(3)]
    train, validation = sides(jsonl([*texts, "too short to be cut"]))
    assert [f"{before} {end}" for before, end in zip(train[:3], validation, strict=True)] == [text.strip() for text in texts]
    assert train[3] == "too short to be cut"
    assert 0.04 < share(train, validation) < 0.06


def test_conversations_are_never_cut(jsonl) -> None:
    rows = [{"messages": [{"role": "user", "content": "long " * 3000}, {"role": "assistant", "content": f"{number}"}]}
            for number in range(3)]
    train, validation = sides(jsonl(rows))
    assert sorted([*train, *validation], key=str) == sorted(rows, key=str)
    assert len(validation) == 1


def test_a_column_that_the_first_line_lacks_can_be_named(jsonl) -> None:
    path = jsonl([{"id": 1}, {"id": 2, "review": "one"}, {"id": 3}, {"id": 4, "review": "two"}])
    train, validation = sides(path, column="review")
    assert sorted(train + validation) == ["one", "two"]
    with pytest.raises(DataError, match="has no column 'reviews'") as caught:
        sides(path, column="reviews")
    assert caught.value.suggestion.value == "review"


@pytest.mark.parametrize(("name", "content"), [
    ("a.json", json.dumps([{"text": "one"}, {"text": "two"}])), ("a.tsv", "id\ttext\n1\tone\n2\ttwo\n")])
def test_json_lists_and_tab_separated_files_are_sources(tmp_path, name, content) -> None:
    path = tmp_path / name
    path.write_text(content)
    train, validation = sides(path)
    assert sorted(train + validation) == ["one", "two"]


def test_rows_are_located(jsonl) -> None:
    path = jsonl(["one", "", "two", "three"])
    found = [where for side in ("train", "validation") for where, _ in sources.located_rows(DataSpec(source=str(path)), side)]
    assert sorted(found) == [f"'{path}', line {number}" for number in (1, 3, 4)]


def test_rows_without_text_are_left_out(jsonl) -> None:
    train, validation = sides(jsonl(["one", "", {"text": None}, "  ", "two"]))
    assert sorted(train + validation) == ["one", "two"]
    with pytest.raises(DataError, match="no row with text"):
        sides(jsonl(["", " "]))
    with pytest.raises(DataError, match="no row with text"):
        sources.inspect(DataSpec(source=str(jsonl(["", " "]))))


def test_both_sides_of_a_limited_source_come_from_its_beginning(jsonl) -> None:
    texts = [f"Review {number}." for number in range(1000)]
    train, validation = sides(jsonl(texts), validation_fraction=0.2, max_rows=100)
    whole_train, whole_validation = sides(jsonl(texts), validation_fraction=0.2)
    assert train == whole_train[:100]
    assert validation == whole_validation[:len(validation)]
    assert 10 <= len(validation) <= 40


def test_a_tight_limit_still_holds_something_out(jsonl) -> None:
    texts = [f"Review {number}." for number in range(1000)]
    train, validation = sides(jsonl(texts), validation_fraction=0.01, max_rows=1)
    assert (len(train), len(validation)) == (1, 1)


def test_reading_stops_at_the_limit(jsonl) -> None:
    path = jsonl([f"Review {number}." for number in range(100)])
    with path.open("a") as file:
        file.write("not JSON\n")
    assert len(sides(path, validation_fraction=0.2, max_rows=10)[0]) == 10
    with pytest.raises(DataError, match="line 101"):
        sides(path, validation_fraction=0.2)


def test_a_huge_text_comes_in_pieces(jsonl) -> None:
    text = "One sentence among many others. " * 2000
    train, validation = sides(jsonl([{"text": text}]))
    assert all(len(piece) <= LONGEST for piece in train + validation)
    assert sum(map(len, train + validation)) > 0.99 * len(text.strip())


@pytest.mark.parametrize(("name", "content", "rows"), [
    ("a.txt", "first film\n\nsecond film\n", [{"text": "first film"}, {"text": "second film"}]),
    ("a.csv", "Prompt;Completion\n2 + 2?;4\n", [{"prompt": "2 + 2?", "completion": "4"}]),
    ("a.csv", 'id,messages\n1,"[{""role"": ""user"", ""content"": ""Hi""}]"\n', [{"messages": [{"role": "user", "content": "Hi"}]}]),
])
def test_inspection_of_files(tmp_path, name, content, rows) -> None:
    path = tmp_path / name
    path.write_text(content)
    found = sources.inspect(DataSpec(source=str(path)))
    assert found.rows == rows
    assert found.format == {"text": "text", "prompt": "prompt+completion", "messages": "messages"}[next(iter(rows[0]))]
    assert found.size == len(content)
    assert found.total_rows is None


def test_inspection_reads_no_more_than_its_limit(jsonl) -> None:
    path = jsonl([{"review": "one"}, {"review": "two"}, "no review here"])
    found = sources.inspect(DataSpec(source=str(path), column="review"), limit=2)
    assert (found.column, found.columns, len(found.rows)) == ("review", ("review", "text"), 2)
    with pytest.raises(DataError, match="line 3: 'review' is missing"):
        sources.inspect(DataSpec(source=str(path), column="review"))


def test_inspection_of_the_house_corpus() -> None:
    found = sources.inspect(DataSpec(), limit=3)
    assert (found.format, found.column, len(found.rows)) == ("house", None, 3)
    assert found.size > 1 << 20


@pytest.mark.parametrize(("source", "given"), [
    ("reviews", "no file here and no hub id"),
    ("./reviews", "There is no file 'reviews'"),
    ("a/b/c", "There is no file"),
    ("owner/reviews.csv", "There is no file"),
    ("data/train.json", "There is no file"),
    ("x" * 5000, "no file here"),
    ("/" + "x" * 5000, "cannot be read: file name too long"),
])
def test_sources_that_are_nothing(source, given) -> None:
    with pytest.raises(DataError, match=given) as caught:
        sources.open_source(DataSpec(source=source))
    assert caught.value.expected
    assert caught.value.fix


def test_what_is_taken_for_a_hub_id(jsonl, monkeypatch) -> None:
    monkeypatch.chdir(jsonl(["one", "two"]).parent)
    Path("owner").mkdir()
    Path("owner/folder").mkdir()
    assert [source for source in ("owner/name", "owner/na.me-1_x", "owner/name.csv", "data/train.json", "data/train.tsv",
            "data/train.jsonl.gz", "owner/folder", "name", "./name", "a/b/c", "~/name")
            if sources.is_hub_id(source)] == ["owner/name", "owner/na.me-1_x"]


def test_a_tilde_means_the_home_folder(jsonl, monkeypatch) -> None:
    path = jsonl(["one", "two"])
    monkeypatch.setenv("HOME", str(path.parent))
    assert len(sources.inspect(DataSpec(source=f"~/{path.name}")).rows) == 2


def test_files_are_read_without_heavy_imports(jsonl) -> None:
    code = ("import sys; from core.config import DataSpec; from core.data import preview, sources; "
            f"sources.inspect(DataSpec(source={str(jsonl(['one', 'two']))!r})); "
            "print(sorted({'torch', 'transformers', 'datasets', 'pandas', 'pyarrow'} & set(sys.modules)))")
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
