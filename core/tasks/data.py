"""Labelled datasets: texts or pairs of texts with a label, questions with answers that stand in a context.

    source                        train part                      measured on
    house, imdb, rt               reviews of the train split      those of validation or test
    a file                        by hash of the text             by hash of the text, or a second file
    a hub id                      its split train                 its split validation, validation_matched, dev or test

Columns are found by their names, upper and lower case alike:

    question_answering   context, question, answers (SQuAD: {"text": [...], "answer_start": [...]}) or answer
    classification       a label, and a text or a pair of texts as GLUE calls them

Labels keep one order: the source's own where it declares names, numbers ascending, words by the alphabet. Items of both
parts are drawn in a fixed shuffled order, so that a source sorted by label gives every label whatever the limit.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from core.config import TaskSpec
from core.data import movie_reviews, sources
from core.data.sources import is_hub_id
from core.errors import DataError, SetField
from core.tasks.columns import Kind, choose
from core.tasks.labelled_tables import open_labelled, short_name, source_tables
from core.tasks.labels import as_classes, labelled, ordered_labels, require_several
from core.tasks.questions import Question, questions

HOUSE_LABELS = ("negative", "positive")
FEW_ITEMS = 100  # held-out texts; below, an interval at 95% is wider than ten points to either side
SKEW = 0.1  # difference of a label's share between both parts that is worth a warning

# What GLUE reports beside accuracy (1804.07461, section 3), by its subset's name.
GLUE_METRICS: dict[str, tuple[str, ...]] = {"cola": ("matthews",), "mrpc": ("f1",), "qqp": ("f1",)}


@dataclass(frozen=True, slots=True)
class Example:
    """A text, or a pair of texts, and the number of its label."""

    text: str
    label: int
    pair: str | None = None


Item = TypeVar("Item", Example, Question)


@dataclass(frozen=True, slots=True)
class TaskData:
    """A labelled dataset, read and split.

    Attributes:
        labels: in the order of the model's outputs; empty for questions.
        max_length, doc_stride: tokens; see `core.config.TaskSpec`.
        metrics: measured beside accuracy (classification): matthews, f1.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    train: tuple[Example, ...] | tuple[Question, ...]
    validation: tuple[Example, ...] | tuple[Question, ...]
    max_length: int = 128
    doc_stride: int = 64
    metrics: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits over everything that is learnt from and measured on."""
        parts = hashlib.sha256(repr((self.kind, self.labels, self.max_length, self.doc_stride)).encode())
        for item in (*self.train, *self.validation):
            parts.update(repr(item).encode())
        return parts.hexdigest()[:12]


def of_type(items: Sequence[Example] | Sequence[Question], kind: type[Item]) -> list[Item]:
    """Return the items of a task whose kind is known: examples of classification, questions of question answering."""
    found = [item for item in items if isinstance(item, kind)]
    assert len(found) == len(items), f"these are no items of the type {kind.__name__}"
    return found


def load_task(spec: TaskSpec) -> TaskData:
    """Read a labelled dataset.

    Raises:
        DataError: anything about the source that the user must fix: columns that are not there, a label that is missing,
            one class only, numbers and text mixed, numbers that are no classes, answers that their context does not hold.
        NetworkError, DiskFullError: a hub dataset that cannot be fetched.
    """
    if spec.source in movie_reviews.HOUSE_SOURCES:
        return _house_task(spec)
    train, validation, origin = source_tables(spec)
    wanted = (spec.text_column, spec.pair_column, spec.label_column)
    columns = choose(train.columns, spec.kind, wanted, origin)
    read: Callable[..., list[Any]] = questions if columns.kind == "question_answering" else labelled
    learnt = read(train, columns)
    if validation is None:
        learnt, measured = _split(learnt, spec.validation_fraction, origin)
    else:
        measured = read(validation, choose(validation.columns, columns.kind, columns.names, validation.origin))
    for items, table in ((learnt, train), (measured, validation or train)):
        if not items:
            raise DataError(f"{table.origin} holds no item with a {'question' if columns.kind == 'question_answering' else 'label'}.",
                            "At least one was expected in what is learnt from and in what is measured on.",
                            "Choose another split or file; test splits often keep their labels back.",
                            field="task.split" if table is train else "task.validation")
    name = f"{short_name(spec.source)}:{spec.subset}" if spec.subset else short_name(spec.source)
    if columns.kind == "question_answering":
        return TaskData(name, columns.kind, (), tuple(_drawn(learnt, spec.max_train_items)), tuple(_drawn(measured, spec.max_items)),
                        spec.max_length, spec.doc_stride)
    learnt, measured = as_classes(learnt, measured, columns.label)
    labels = ordered_labels(learnt, measured, train.classes.get(columns.label), columns.label)
    learnt, measured = _drawn(learnt, spec.max_train_items), _drawn(measured, spec.max_items)
    require_several([item.label for item in learnt], columns.label, origin)
    numbers = {label: number for number, label in enumerate(labels)}
    names = tuple(train.classes.get(columns.label) or (str(label) for label in labels))
    train_items, held_out = (tuple(Example(item.text, numbers[item.label], item.pair) for item in items) for items in (learnt, measured))
    metrics = GLUE_METRICS.get(spec.subset or "", ()) if spec.source.endswith("/glue") else ()
    return TaskData(name, columns.kind, names, train_items, held_out, spec.max_length, spec.doc_stride, metrics)


def look(spec: TaskSpec) -> str:
    """Return one sentence about a source: a file's columns are looked at, a hub dataset is not queried. Raises DataError as `load_task`."""
    if spec.source in movie_reviews.HOUSE_SOURCES:
        movie_reviews.corpus_path()
        return "Labelled film reviews of the house corpus."
    if sources.is_hub_id(spec.source):
        return f"'{spec.source}' is taken for a hub dataset."
    table = open_labelled(spec.source)
    found = choose(table.columns, spec.kind, (spec.text_column, spec.pair_column, spec.label_column), table.origin)
    if spec.validation is not None:
        open_labelled(spec.validation)
    if found.kind == "question_answering":
        return f"Questions from '{found.pair}' about '{found.text}', answers from '{found.label}'."
    return f"Texts from '{found.text}'{f' and {found.pair!r}' if found.pair else ''}, labels from '{found.label}'."


def _house_task(spec: TaskSpec) -> TaskData:
    split = house_split(spec)
    origins = movie_reviews.HOUSE_SOURCES[spec.source]
    parts: tuple[tuple[movie_reviews.Split, int | None], ...] = (("train", spec.max_train_items), (split, spec.max_items))
    learnt, measured = ([Example(review.text, int(review.positive)) for review in movie_reviews.held_out(part)
                         if review.source in origins][:limit] for part, limit in parts)
    return TaskData(spec.source, "classification", HOUSE_LABELS, tuple(learnt), tuple(measured), spec.max_length, spec.doc_stride)


def house_split(spec: TaskSpec) -> Literal["validation", "test"]:
    """Return the split of the house reviews that is measured on. Raises DataError for any other."""
    if spec.validation in (None, "", "validation"):
        return "validation"
    if spec.validation == "test":
        return "test"
    raise DataError(f"task.validation is '{spec.validation}'.", "The house reviews have two held-out splits: validation and test.",
                    "Choose one of them.", suggestion=SetField("task.validation", "validation"))


# ---------------------------------------------------------------------------------------------------- split and draw


def _split(items: list[Any], fraction: float, origin: str) -> tuple[list[Any], list[Any]]:
    """Split into learnt from and held out, by hash of the text (of the context, for questions): equal texts stand on the same side."""
    places = [sources.position({"text": item.context if isinstance(item, Question) else f"{item.text}\n{item.pair or ''}"})
              for item in items]
    if len(set(places)) < 2:
        raise DataError(f"{origin} holds {'a single text' if places else 'no items'}.",
                        "At least two were expected: one to learn from, another to measure on.", "Add more, or name a second file.",
                        field="task.validation")
    # As far from the fraction as it takes to leave neither side of a small source empty.
    threshold = min(max(fraction, math.nextafter(min(places), 1.0)), max(places))
    return ([item for item, place in zip(items, places, strict=True) if place >= threshold],
            [item for item, place in zip(items, places, strict=True) if place < threshold])


def _drawn(items: list[Any], limit: int | None) -> list[Any]:
    random.Random(0).shuffle(items)
    return items[:limit]


def majority_share(train: Sequence[Example], validation: Sequence[Example]) -> float:
    """Return the share of held-out items in the class that most items that are learnt from have: what a model that reads nothing gets."""
    most = Counter(item.label for item in train).most_common(1)[0][0]
    return sum(item.label == most for item in validation) / len(validation)


def distinct_texts(items: Sequence[Example]) -> Counter[tuple[str, str | None]]:
    """Return how often each text, or pair of texts, stands among the items."""
    return Counter((item.text, item.pair) for item in items)


def data_warnings(task: TaskData) -> list[str]:
    """Return sentences about held-out items that weaken what is measured on them: few, equal, also learnt from, or skewed."""
    if task.kind != "classification":
        return []
    train, measured = of_type(task.train, Example), of_type(task.validation, Example)
    copies, learnt = distinct_texts(measured), distinct_texts(train)
    found = []
    if (repeated := len(measured) - len(copies)):
        found.append(f"{repeated:,} of {len(measured):,} held-out items repeat a text: intervals count {len(copies):,} distinct texts.")
    if (shared := sum(key in learnt for key in copies)):
        found.append(f"{shared:,} held-out texts are also trained on: accuracy on them says little about new texts.")
    if len(copies) < FEW_ITEMS:
        found.append(f"Only {len(copies)} distinct texts are held out: accuracy is known to about "
                     f"±{98 / math.sqrt(len(copies)):.0f} points at best.")
    shares = [{label: count / len(items) for label, count in Counter(task.labels[item.label] for item in items).items()}
              for items in (train, measured)]
    apart = max(task.labels, key=lambda label: abs(shares[0].get(label, 0.0) - shares[1].get(label, 0.0)))
    one, other = (share.get(apart, 0.0) for share in shares)
    spread = math.sqrt(one * (1 - one) / len(measured)) if 0 < one < 1 else 0.0
    if abs(one - other) > max(SKEW, 3 * spread):
        found.append(f"The split is skewed: '{apart}' is {one:.0%} of what is trained on and {other:.0%} of what is held out.")
    return found


def task_spec(name: str, train_items: int | None) -> TaskSpec:
    """Return the task that a name stands for; `train_items`: learnt from at most (None: all)."""
    source, _, subset = name.partition(":")
    if subset and is_hub_id(source):
        return TaskSpec(source=source, subset=subset, max_train_items=train_items)
    return TaskSpec(source=name, max_train_items=train_items)


def headline_metric(task: TaskData) -> str:
    """Return the metric that a task is judged by.

    It is the task's own where it has one (GLUE's Matthews correlation or F1), else accuracy; F1 of answers.
    """
    if task.kind == "question_answering":
        return "answer_f1"
    return task.metrics[0] if task.metrics else "accuracy"
