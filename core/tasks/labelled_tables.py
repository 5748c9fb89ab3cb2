"""Where labelled records are read from: files, SQuAD's own format, splits of hub datasets."""

from __future__ import annotations

import os
import re
from pathlib import Path

from core.config import DataSpec, TaskSpec
from core.data import movie_reviews, sources
from core.data.hub_datasets import open_splits
from core.data.tables import READERS, Table, open_file
from core.data.text_files import HEAD
from core.errors import DataError
from core.system import reach
from core.system.plain_data import PlainDataError, parse_json

MEASURED = ("validation", "validation_matched", "dev", "test")  # splits of hub datasets, the first that is there
MOST_VALUES = 2_000_000  # in a file of SQuAD's own format; its largest has 1.4 million


def source_tables(spec: TaskSpec) -> tuple[Table, Table | None, str]:
    """Return what is learnt from; what is measured on, or None where it is held out of the first; and how messages call it."""
    if sources.is_hub_id(spec.source):
        splits = open_splits(DataSpec(source=spec.source, subset=spec.subset), "task")
        measured = spec.validation or next((name for name in MEASURED if name in splits), None)
        for name in (spec.split, measured):
            if name is not None and name not in splits:
                raise DataError(f"'{spec.source}' has no split '{name}'.", f"Its splits are: {', '.join(splits)}.",
                                "Set task.split and task.validation to two of them.",
                                field="task.split" if name == spec.split else "task.validation")
        return splits[spec.split], splits[measured] if measured and measured != spec.split else None, f"'{spec.source}'"
    first = open_labelled(spec.source)
    return first, open_labelled(spec.validation) if spec.validation else None, first.origin


def open_labelled(source: str) -> Table:
    """Return a file, or SQuAD's own format. Raises DataError when it is neither."""
    if outside := reach.refusal(source):
        raise DataError(*outside)
    path = Path(os.path.expanduser(source))
    if path.suffix.lower() == ".json" and path.is_file() and _holds_object(path):
        return _squad_table(path)
    if path.suffix.lower() in READERS or os.path.exists(path) or re.search(r"[/\\]", source):
        return open_file(path)
    raise DataError(f"'{source}' is no file here and no hub id.",
                    f"Expected: {', '.join(map(repr, movie_reviews.HOUSE_SOURCES))}, a .csv, .tsv, .jsonl, .json or .parquet file, "
                    "or owner/name on the hub.",
                    "Check the path; it counts from the current folder.")


def _holds_object(path: Path) -> bool:
    """Return whether a .json file is one object, as SQuAD's, and not a list or one object on each line."""
    with path.open("rb") as file:
        beginning = file.read(HEAD).lstrip(b"\xef\xbb\xbf \t\r\n")
    return beginning.startswith(b"{") and (b'"data"' in beginning or b"\n" not in beginning.strip())


def _squad_table(path: Path) -> Table:
    """Read SQuAD's own file: articles of paragraphs of questions (1606.05250)."""
    try:
        articles = parse_json(path.read_text(encoding="utf-8-sig"), MOST_VALUES)["data"]
        records = [{"id": qa["id"], "context": paragraph["context"], "question": qa["question"], "answers": qa["answers"]}
                   for article in articles for paragraph in article["paragraphs"] for qa in paragraph["qas"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        said = error if isinstance(error, (PlainDataError, OSError)) else f"{type(error).__name__}: {error}"
        raise DataError(f"'{path}' cannot be read as a SQuAD file: {said}.", '{"data": [{"paragraphs": [...]}, ...]} was expected.',
                        "Give a .jsonl file with one object on each line.") from error
    return Table(f"'{path}'", ("id", "context", "question", "answers"),
                 lambda _columns: ((f"question {number}", record) for number, record in enumerate(records, start=1)), len(records),
                 path.stat().st_size)


def short_name(source: str) -> str:
    """Return how a source is called where there is no room for a path."""
    return source if sources.is_hub_id(source) else Path(source).stem
