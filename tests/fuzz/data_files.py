"""Data files as no program wrote them, or as programs write them that nobody thought of: .jsonl, .json, .csv, .tsv, .txt and .parquet."""

from __future__ import annotations

import json
import random
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from core.config import DataSpec, TaskSpec
from core.data.preview import preview
from core.data.sources import inspect
from core.errors import StillhouseError
from core.tasks.data import load_task, look
from tests.core.chat_models import chat_tokenizer
from workbench.inference.dataset_scan import scan_dataset

SUFFIXES = (".jsonl", ".jsonl", ".json", ".csv", ".tsv", ".txt", ".parquet")
TEXTS = ("It is good.", "", " ", "naïve café 模型 😀", "\ud800", "\udfff x", "\0", "\u2028", "\x85", "a" * 5000, "a,b;c\td|e",
    'He said "no".', "'",
         "1", "00123", "NaN", "null", "[1, 2]", '{"a": 1}', "[" * 2000, '[{"role": "user"}]', "<|im_end|></s>", "\r", "\r\n", "x\ny\n\nz",
         "\ufeff", "=cmd()", "-1", "1.0", "1e5", "٣", "²", "true", "../../etc/passwd", "\u202e\u200b", "e\u0301" * 50)
NUMBERS = (0, 1, -1, 2, 10**18, 10**30, -(10**400), 0.5, 1.0, 1e308, float("nan"), float("inf"), -0.0, True, False)
NAMES = ("text", "Text", "TEXT", "messages", "conversations", "prompt", "completion", "instruction", "input", "output", "label", "labels",
         "sentence", "sentence1", "sentence2", "context", "question", "answers", "answer", "answer_start", "id", "", " ", "a.b", "text.x",
         "\ud800",
         "x" * 5000, "0", "review", "role", "content", "\0", "data")
ROLES = ("user", "assistant", "system", "human", "gpt", "tool", "", "User", "\ud800", None, 5, [], {}, True)


def value(draw: random.Random, depth: int = 0) -> Any:
    """Return a value of any kind that JSON knows."""
    kind = draw.random()
    if kind < 0.45 or depth > 3:
        return draw.choice(TEXTS)
    if kind < 0.6:
        return draw.choice(NUMBERS)
    if kind < 0.65:
        return None
    if kind < 0.8:
        return [value(draw, depth + 1) for _ in range(draw.randint(0, 3))]
    return {draw.choice(NAMES): value(draw, depth + 1) for _ in range(draw.randint(0, 3))}


def conversation(draw: random.Random) -> Any:
    """Return messages, most of them as they should be."""
    role, content = draw.choice((("role", "content"), ("role", "content"), ("from", "value"), ("role", "value"), ("speaker", "text")))
    found: list[Any] = []
    for number in range(draw.randint(0, 5)):
        said = draw.choice(TEXTS) if draw.random() < 0.8 else value(draw)
        if draw.random() < 0.15:
            said = [{"type": draw.choice(("text", "image", "input_audio", None, 5)), "text": draw.choice((*TEXTS, None, 5))}
                    for _ in range(draw.randint(0, 3))]
        message: Any = {role: ("user", "assistant")[number % 2] if draw.random() < 0.7 else draw.choice(ROLES), content: said}
        if draw.random() < 0.1:
            message |= {draw.choice(("tool_calls", "name", "weight", "train", "thinking", "reasoning_content")): value(draw)}
        found.append(message if draw.random() < 0.95 else value(draw))
    return found


def record(draw: random.Random, names: list[str]) -> dict[str, Any]:
    """Return one record with about these columns."""
    made = {}
    for name in names:
        if draw.random() < 0.05:
            continue
        if name in ("messages", "conversations") and draw.random() < 0.9:
            made[name] = conversation(draw)
        elif name in ("label", "labels") and draw.random() < 0.7:
            made[name] = draw.choice(("a", "b", "a ", "1", "01", 1, 0, 1.0))
        elif name in ("answers", "answer") and draw.random() < 0.7:
            made[name] = draw.choice(("good", {"text": ["good"], "answer_start": [6]}, [{"text": "It", "answer_start": 0}], ["It", "good"],
                                      {"text": []}, {"text": {"text": "It"}}, [[["It"]]], value(draw)))
        else:
            made[name] = f"It is {draw.choice(('good', 'bad', 'long'))} {draw.randint(0, 99)}." if draw.random() < 0.7 else value(draw)
    return made


def content(seed: int) -> tuple[str, bytes]:
    """Return the suffix and the bytes of file number `seed`."""
    draw = random.Random(seed)
    suffix = draw.choice(SUFFIXES)
    names = draw.choice((["text"], ["messages"], ["conversations"], ["prompt", "completion"], ["instruction", "input", "output"],
                         ["text", "label"], ["sentence1", "sentence2", "label"], ["context", "question", "answers"],
                         draw.sample(NAMES, draw.randint(1, 6))))
    records = [record(draw, names) for _ in range(draw.choice((0, 1, 2, 5, 40)))]
    if suffix == ".parquet":
        return suffix, _parquet(records, draw)
    if suffix == ".txt":
        made = draw.choice(("\n", "\n\n", "\r\n", "\r", " ")).join(str(draw.choice(TEXTS)) for _ in range(draw.randint(0, 60)))
    elif suffix in (".csv", ".tsv"):
        made = _table(records, names, suffix, draw)
    elif draw.random() < 0.5:
        made = draw.choice(("\n", "\n\n", "\r\n", "", " ", ",\n")).join(json.dumps(each,
            ensure_ascii=draw.random() < 0.5) for each in records)
    else:
        made = json.dumps(draw.choice((records, records, {"data": records}, {"data": [{"paragraphs": [
            {"context": "It is good.", "qas": records}]}]}, records[0] if records else 5)), indent=draw.choice((None, 1)))
    content = made.encode("utf-8", "surrogatepass")
    for _ in range(draw.choice((0, 0, 0, 1, 3))):
        place = draw.randint(0, len(content))
        put = draw.choice((b"\xff", b"\0", b"\n", b'"', b"[", b"]", b"{", b"}", b",", b"\\u", b"\\ud800", b"\xef\xbb\xbf", b"NaN",
            b"[" * 3000,
                           b"9" * 5000, b"\xed\xa0\x80"))
        content = content[:place] + put + content[place + draw.randint(0, 2):]
    return suffix, content if draw.random() < 0.95 else content[:draw.randint(0, len(content))]


def _table(records: list[dict[str, Any]], names: list[str], suffix: str, draw: random.Random) -> str:
    delimiter = "\t" if suffix == ".tsv" else draw.choice(",;\t|")
    quoted = draw.choice((str.__call__, lambda text: f'"{text}"', lambda text: '"' + text.replace('"', '""') + '"'))
    rows = [names, *([each.get(name, "") for name in names] for each in records)]
    texts = [[each if isinstance(each, str) else json.dumps(each) for each in row] for row in rows]
    return draw.choice(("\n", "\r\n", "\r", "\n\n")).join(delimiter.join(map(quoted, row)) for row in texts)


def _parquet(records: list[dict[str, Any]], draw: random.Random) -> bytes:
    """Return a Parquet file: of the records where Arrow can hold them, else of one column of a type that is seldom text."""
    odd = (pa.array([b"\xff\xfe", b"x"], pa.binary()), pa.array([1, 2**62], pa.timestamp("us")), pa.array([-(2**31), 2**31 - 1],
        pa.date32()),
           pa.array([2**62, -(2**62)], pa.int64()).cast(pa.duration("us")), pa.array([None, None]), pa.array([1.5, float("nan")]),
           pa.array(["a", "b"]).dictionary_encode(), pa.array(["a", "b"], pa.large_string()), pa.array([["a"], None]),
           pa.array([[("k", "v")], []], pa.map_(pa.string(), pa.string())), pa.array([{"text": "x"}, None]), pa.array([True, False]),
           pa.array([b"caf\xe9", b"x"], pa.binary()).view(pa.string()), pa.array([10**20, 1], pa.decimal128(30, 2)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.parquet"
        try:
            table = pa.Table.from_pylist(records)
        except (pa.ArrowException, OverflowError, UnicodeError):
            table = pa.table({})
        if not table.num_columns or draw.random() < 0.4:
            names = [draw.choice(("text", "text", "messages", "prompt", "label", "text.x", "")) for _ in range(draw.randint(1, 3))]
            table = pa.table([draw.choice(odd) for _ in names], names=names)
        try:
            pq.write_table(table, path, row_group_size=draw.choice((1, 5, 1000)), compression=draw.choice(("snappy", "gzip", "none",
                "zstd")))
        except (pa.ArrowException, OverflowError, UnicodeError):
            return b"PAR1"
        content = bytearray(path.read_bytes())
    for _ in range(draw.choice((0, 0, 1, 5, 50))):
        content[draw.randrange(len(content))] = draw.randrange(256)
    return bytes(content)


@cache
def _tokenizer() -> Any:
    return chat_tokenizer()


def answer(seed: int) -> str:
    """Read data file number `seed` in every way in which it can be read. Raises StillhouseError where none gives anything."""
    draw = random.Random(f"spec {seed}")
    suffix, written = content(seed)
    said, errors = [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"data{suffix}"
        path.write_bytes(written)
        spec = DataSpec(source=str(path), block_length=32, prompt_weight=draw.choice((0.0, 1.0)), max_rows=draw.choice((None, 3)),
                        column=draw.choice((None, None, None, "text", "messages", "label", "x")))
        task = TaskSpec(source=str(path), kind=draw.choice(("auto", "auto", "classification", "question_answering")))
        for read in (lambda: inspect(spec), lambda: preview(spec, _tokenizer()), lambda: scan_dataset(spec, _tokenizer(), 0),
                     lambda: scan_dataset(spec, None, 0, "masked"), lambda: look(task), lambda: load_task(task).digest):
            try:
                said.append(len(str(read()).encode()))  # what is shown can be written
            except StillhouseError as error:
                str(error).encode()
                errors.append(error)
    if not said:
        raise errors[0]
    return f"{len(said)} answers, {len(errors)} refusals"
