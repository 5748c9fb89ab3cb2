"""The tasks of an exam by their names: the oracle's, house reviews, and files or hub datasets of known formats.

A file's rows have ``prompt``, ``candidates`` and ``label`` (number or text of the right one). Hub datasets and files with the columns of
a format in `FORMATS` are put into words by its templates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from core.config import DataSpec, ReadingSpec
from core.config.reading import HOUSE_TASK, ORACLE_TASKS
from core.data import movie_reviews, sources
from core.data.tables import Table
from core.errors import DataError
from core.reading.decontamination import clean
from core.reading.items import Item, ReadingTask
from core.reading.notes import BEHAVIOURS, ReadParagraph
from core.reading.oracle_tasks import oracle_items

SURPLUS = 2  # times the items are read, so that some may be left out
LONGEST_WORDS = 120  # of a text in a prompt; the middle of longer ones is cut out


@dataclass(frozen=True, slots=True)
class Format:
    """Columns of a labelled dataset and how an item reads.

    Attributes:
        columns: that a row must have, besides the label.
        prompt: with the columns in it.
        candidates: by the number of the label.
        names: labels as words, where a dataset has them so.
    """

    columns: tuple[str, ...]
    prompt: str
    candidates: tuple[str, ...]
    names: tuple[tuple[str, ...], ...] = ()


YES_NO = (("false", "no", "0"), ("true", "yes", "1"))
ENTAILMENT = ("entailment", "neutral", "contradiction")
# The first that has its columns is taken; `label` or `answer` is the label's column.
FORMATS: dict[str, Format] = {
    "boolq": Format(("passage", "question"), "{passage}\nQuestion: {question}?\nAnswer:", (" no", " yes"), YES_NO),
    "paws": Format(("sentence1", "sentence2"), "{sentence1}\n{sentence2}\nDo these sentences mean the same?", (" no", " yes"), YES_NO),
    "rte": Format(("sentence1", "sentence2"), "{sentence1}\nQuestion: {sentence2} True or false?\nAnswer:", (" true", " false"),
                  (("entailment",), ("not_entailment",))),
    "nli": Format(("premise", "hypothesis"), "{premise}\nQuestion: {hypothesis} True, false or neither?\nAnswer:",
                  (" true", " neither", " false"), tuple((name,) for name in ENTAILMENT)),
    "cb": Format(("premise", "hypothesis"), "{premise}\nQuestion: {hypothesis} True, false or neither?\nAnswer:",
                 (" true", " false", " neither"), (("entailment",), ("contradiction",), ("neutral",))),
    "sst2": Format(("sentence",), "{sentence}\nThis review is", (" negative", " positive"), (("negative",), ("positive",))),
}
LABELS = ("label", "answer", "answer_idx", "target_scores")


def load_tasks(spec: ReadingSpec, trained_on: Sequence[ReadParagraph]) -> list[ReadingTask]:
    """Return the tasks of an exam, without items that share `spec.ngram` words in a row with paragraphs or their notes.

    Raises:
        DataError: a task that cannot be read, or of which nothing is left.
    """
    texts = [paragraph.text for paragraph in trained_on]
    texts += filter(None, (each.of(behaviour) for paragraph in trained_on for each in paragraph.sentences for behaviour in BEHAVIOURS))
    return [_task(name, spec, texts) for name in spec.exam]


def _task(name: str, spec: ReadingSpec, texts: Sequence[str]) -> ReadingTask:
    found = list(islice(_items(name, spec.items * SURPLUS), spec.items * SURPLUS))
    kept = clean(found, texts, spec.ngram)
    if not kept:
        why = f"{len(found)} were read; each shares {spec.ngram} words in a row with what is trained on." if found else "It holds none."
        raise DataError(f"Of the task '{name}' no item is left.", why, "Choose another task, or another reading.ngram.",
                        field="reading.tasks")
    return ReadingTask(short_name(name), tuple(kept[:spec.items]), len(found) - len(kept))


def short_name(name: str) -> str:
    """Return what metrics call a task: letters, digits and underscores of its last part."""
    last = name.rstrip("/").rpartition("/")[2].removesuffix(".jsonl").removesuffix(".csv")
    return "".join(each if each.isalnum() else "_" for each in last)


def _items(name: str, count: int) -> Iterator[Item]:
    if name in ORACLE_TASKS:
        yield from oracle_items(name, count)
    elif name == HOUSE_TASK:
        for review in movie_reviews.held_out("validation", count):
            text = movie_reviews.truncate_middle(review.text, LONGEST_WORDS)
            yield Item(f"{text}\nIn short, this film is", (" bad", " good"), int(review.positive))
    else:
        yield from _rows(name)


def _rows(name: str) -> Iterator[Item]:
    source, _, subset = name.partition(":")
    hub = sources.is_hub_id(source)
    table = sources.open_source(DataSpec(source=source, subset=subset or None, split="validation") if hub else DataSpec(source=name))
    if {"prompt", "candidates"} <= set(table.columns):
        for where, row in table.read(tuple(each for each in ("prompt", "candidates", *LABELS) if each in table.columns)):
            yield _given(row, f"{table.origin}, {where}")
        return
    form = _format(name, table)
    label = next((each for each in LABELS if each in table.columns), None)
    if label is None:
        raise DataError(f"{table.origin} has no labels.", f"One of {', '.join(LABELS)} was expected among its columns "
                        f"{', '.join(table.columns)}.", "Choose another task.", field="reading.tasks")
    for where, row in table.read((*form.columns, label)):
        right = _label(row[label], form)
        if right is None:
            raise DataError(f"{table.origin}, {where}: the label is {row[label]!r}.",
                            f"A number from 0 to {len(form.candidates) - 1}, or a name of it, was expected.", "Choose another task.",
                            field="reading.tasks")
        if right >= 0:  # -1 marks items without a label
            yield Item(form.prompt.format(**{each: movie_reviews.truncate_middle(str(row[each]), LONGEST_WORDS) for each in form.columns}),
                       form.candidates, right)


def _format(name: str, table: Table) -> Format:
    fitting = {key: form for key, form in FORMATS.items() if set(form.columns) <= set(table.columns)}
    if not fitting:
        known = "; ".join(f"{key}: {', '.join(form.columns)}" for key, form in FORMATS.items())
        raise DataError(f"{table.origin} has the columns {', '.join(table.columns)}.",
                        f"prompt, candidates and label were expected, or those of a known format ({known}).", "Choose another task.",
                        field="reading.tasks")
    said = name.lower()
    return next((form for key, form in fitting.items() if key in said), next(iter(fitting.values())))


def _given(row: Mapping[str, Any], where: str) -> Item:
    candidates = row["candidates"]
    if isinstance(candidates, str):
        candidates = [part.strip() for part in candidates.split("|")]
    label = next((row[each] for each in LABELS if each in row), None)
    texts = tuple(each if each[:1].isspace() else f" {each}" for each in map(str, candidates))
    stripped = [each.strip() for each in texts]
    said = str(label).strip()
    right = stripped.index(said) if said in stripped else int(said) if said.isdecimal() else -1
    if not 0 <= right < len(texts) or len(texts) < 2:
        raise DataError(f"{where}: the label is {label!r}, and there are {len(texts)} candidates.",
                        "Two or more candidates, and the number or the text of one of them as label, were expected.", "Correct the row.",
                        field="reading.tasks")
    return Item(str(row["prompt"]), texts, right)


def _label(value: Any, form: Format) -> int | None:
    if isinstance(value, bool):
        value = int(value)
    if isinstance(value, int):
        return value if -1 <= value < len(form.candidates) else None
    said = str(value).strip().lower()
    for number, accepted in enumerate(form.names):
        if said in accepted:
            return number
    return int(said) if said.isdecimal() and int(said) < len(form.candidates) else None
