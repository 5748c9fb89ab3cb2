"""The retention card: what a student keeps of its teacher, and what it saves, in the terms of DistilBERT (1910.01108).

    smaller    1 - P_student / P_teacher              parameters, tied weights once
    faster     t_teacher / t_student - 1              latency of one sequence on one thread, timed side by side
    retained   mean_s(student_s) / mean_s(teacher_s)  a task's score over the seeds s, the same items for both
    macro      the same with each seed's mean over the tasks

The paper's own row stands beside ours: 40% smaller, 60% faster, 97% retained. A card is plain data; who is in it
is a row, whether a student, its control (the same size trained without the teacher) or the same student exported.
The first row is the teacher's, or that of what stands for it where a student reads notes and nothing is distilled
(`STANDS_FOR_TEACHER`). How it reads is in `core.reports.retention_text`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from core.evaluation.speed import ModelSpeed, stored_names
from core.evaluation.statistics import Estimate, mean, mean_interval, ratio_of_means
from core.events import STUDENT_BEFORE, TEACHER

READING_TEACHER = "reading_teacher"
MODELS = {TEACHER: "Teacher", READING_TEACHER: "Reading teacher", STUDENT_BEFORE: "Student before training", "student": "Student"}
KINDS = {**MODELS, "control": "Same size, not distilled",
         **{f"{who} {form}": f"{title}, {words}" for who, title in MODELS.items()
            for form, words in (("onnx", "ONNX"), ("onnx-int8", "ONNX int8"))}}
# Kinds of first rows that are no teacher's -> what the card says of it.
STANDS_FOR_TEACHER = {
    READING_TEACHER: ("No model was distilled: the reading teacher, which takes the notes, stands for the teacher. A student learns from "
                      "its notes, never from its probabilities."),
    STUDENT_BEFORE: ("No model was distilled, and what takes the notes, an oracle or a chat server, has no weights here: the student "
                     "before training stands for the teacher. Retained says what reading left of its scores, above 100% where they rose; "
                     "in size and speed it is compared with itself.")}
TOLERANCE = 0.15  # of the measured ratio around the predicted one (claim A4)


@dataclass(frozen=True, slots=True)
class Published:
    """A paper's row.

    Attributes:
        name, teacher: of its student and its teacher.
        smaller, faster, retained: shares, as its abstract states them.
        parameters, seconds, macro: of student and teacher, from its tables: numbers of parameters, seconds of one pass over STS-B
            on one processor at batch 1, GLUE macro score in percent.
        tasks: task -> scores in percent of student and teacher.
        arxiv, place: where it stands.
    """

    name: str
    teacher: str
    smaller: float
    faster: float
    retained: float
    parameters: tuple[float, float]
    seconds: tuple[float, float]
    macro: tuple[float, float]
    tasks: Mapping[str, tuple[float, float]]
    arxiv: str
    place: str

    @property
    def url(self) -> str:
        """Return the paper's address."""
        return f"https://arxiv.org/abs/{self.arxiv}"


DISTILBERT = Published(
    "DistilBERT", "BERT-base", smaller=0.40, faster=0.60, retained=0.97, parameters=(66e6, 110e6), seconds=(410, 668), macro=(77.0, 79.5),
    tasks={"imdb": (92.82, 93.46), "sst2": (91.3, 92.7), "squad": (85.8, 88.5)}, arxiv="1910.01108", place="abstract, Tables 1 to 3")


@dataclass(frozen=True, slots=True)
class Score:
    """What one model reached on one task with one seed.

    Attributes:
        value: from 0 to 1.
        items: held-out items that it was scored on.
        metric: what the value is.
    """

    value: float
    items: int
    metric: str = "accuracy"


@dataclass(frozen=True, slots=True)
class TaskScores:
    """What one model reached on one task.

    Attributes:
        values: one a seed, in the order of the card's seeds; from 0 to 1.
        items: held-out items, the same for all seeds and models.
    """

    task: str
    metric: str
    items: int
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Return the mean over seeds."""
        return mean(self.values)

    @property
    def interval(self) -> Estimate:
        """The mean with its Student's t interval over the seeds."""
        return mean_interval(self.values)


@dataclass(frozen=True, slots=True)
class Row:
    """One model of a card.

    Attributes:
        kind: one of `KINDS`; an export is its model's kind and its form.
        name: of the model, as people know it.
        parameters, without_embeddings: numbers, tied weights once; None where it is not known.
        size_bytes: of its weights on disk.
        format: in which they are stored, as fp32 or int8.
        flops: operations of one sequence of the length that was timed (`core.evaluation.flops`).
        speed: None where it was not timed.
    """

    kind: str
    name: str
    parameters: int | None = None
    without_embeddings: int | None = None
    size_bytes: int | None = None
    format: str = ""
    flops: float | None = None
    speed: ModelSpeed | None = None
    scores: tuple[TaskScores, ...] = ()

    @property
    def title(self) -> str:
        """Return the row's title as the card prints it."""
        return KINDS.get(self.kind, self.kind)

    def of_task(self, task: str) -> TaskScores | None:
        """Return the row's scores on a task, if it has any."""
        return next((each for each in self.scores if each.task == task), None)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Row:
        """Return the row of plain data, as `dataclasses.asdict` wrote it."""
        scores = tuple(TaskScores(**{**each, "values": tuple(each["values"])}) for each in plain["scores"])
        return cls(**{**plain, "scores": scores, "speed": plain["speed"] and ModelSpeed.from_dict(plain["speed"])})


@dataclass(frozen=True, slots=True)
class Timing:
    """Under what conditions the rows were timed; as in `core.evaluation.speed.Speed`."""

    length: int
    batch: int
    threads: int
    rounds: int
    batch_rounds: int
    processor: str


@dataclass(frozen=True, slots=True)
class Card:
    """The card.

    Attributes:
        rows: the teacher first, or what stands for it.
        seeds: of the fine-tunings.
        timing: None where nothing was timed.
        train_items, epochs: of each fine-tuning, at most; None for zero-shot scores.
        date: when it was finished, UTC, in ISO 8601.
    """

    kind: ClassVar[str] = "retention"  # as an event
    rows: tuple[Row, ...]
    seeds: tuple[int, ...] = ()
    timing: Timing | None = None
    train_items: int | None = None
    epochs: float | None = None
    date: str = ""
    published: Published = DISTILBERT

    @property
    def teacher(self) -> Row:
        """Return the first row: the teacher's, or that of what stands for it."""
        return self.rows[0]

    @property
    def stands_for_teacher(self) -> str:
        """Say what stands for the teacher in the first row; empty where it is the teacher."""
        return STANDS_FOR_TEACHER.get(self.teacher.kind, "")

    @property
    def compared_with(self) -> str:
        """Return whose numbers the shares are of, as "the teacher"."""
        return f"the {self.teacher.title.lower()}" if self.stands_for_teacher else "the teacher"

    @property
    def tasks(self) -> tuple[str, ...]:
        """Those that any row was scored on, in order."""
        return tuple(dict.fromkeys(each.task for row in self.rows for each in row.scores))

    def row(self, kind: str) -> Row | None:
        """Return the first row of a kind."""
        return next((row for row in self.rows if row.kind == kind), None)

    def smaller(self, row: Row) -> float | None:
        """Return the fraction of the teacher's parameters that a row does without."""
        if row.parameters is None or not self.teacher.parameters:
            return None
        return 1 - row.parameters / self.teacher.parameters

    def faster(self, row: Row) -> Estimate | None:
        """Return how much faster than the teacher a row is, as a fraction: 0.6 is 60% faster."""
        return None if row.speed is None else row.speed.latency_speedup.map(lambda ratio: ratio - 1)

    def predicted_faster(self, row: Row) -> float | None:
        """Return the same as the operations of both predict it."""
        return self.teacher.flops / row.flops - 1 if row.flops and self.teacher.flops else None

    def off_prediction(self, row: Row) -> float | None:
        """Return the measured ratio of latencies over the predicted one, less 1."""
        predicted = self.predicted_faster(row)
        return row.speed.latency_speedup.value / (1 + predicted) - 1 if row.speed is not None and predicted is not None else None

    def retained(self, row: Row, task: str) -> Estimate | None:
        """Return the share of the teacher's score on a task, with the interval over paired seeds."""
        pair = _comparable(row.of_task(task), self.teacher.of_task(task))
        return None if pair is None else ratio_of_means(pair[0].values, pair[1].values)

    def macro(self, row: Row) -> Estimate | None:
        """Return the share of the teacher's mean score over all tasks, as the paper's 97%; None where a task is missing."""
        pairs = [pair for task in self.tasks if (pair := _comparable(row.of_task(task), self.teacher.of_task(task)))]
        if not pairs or len(pairs) < len(self.tasks):
            return None
        own, teachers = zip(*pairs, strict=True)
        return ratio_of_means(_by_seed(own), _by_seed(teachers))

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that `from_dict` reads back, with what follows from it under ``summary``."""
        plain = asdict(self, dict_factory=stored_names) | {"summary": {row.kind: self._summary(row) for row in self.rows}}
        return json.loads(json.dumps(plain))  # lists for tuples, as it is read back from a file

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Card:
        """Return the card of `to_dict`."""
        published = plain["published"]
        published = Published(**{**published, **{key: tuple(published[key]) for key in ("parameters", "seconds", "macro")},
                                 "tasks": {task: tuple(scores) for task, scores in published["tasks"].items()}})
        known = {key: value for key, value in plain.items() if key != "summary"}
        return cls(**{**known, "rows": tuple(map(Row.from_dict, plain["rows"])), "seeds": tuple(plain["seeds"]), "published": published,
                      "timing": plain["timing"] and Timing(**plain["timing"])})

    def _summary(self, row: Row) -> dict[str, Any]:
        macro, faster = self.macro(row), self.faster(row)
        return {"smaller": self.smaller(row), "faster": faster and asdict(faster), "faster_predicted": self.predicted_faster(row),
                "retained": {task: asdict(kept) for task in self.tasks if (kept := self.retained(row, task))},
                "macro": macro and asdict(macro)}


def _comparable(own: TaskScores | None, teachers: TaskScores | None) -> tuple[TaskScores, TaskScores] | None:
    """Return both where one can be divided by the other: the same seeds, and a teacher that scores at all."""
    if own is None or teachers is None or len(own.values) != len(teachers.values) or not mean(teachers.values):
        return None
    return own, teachers


def _by_seed(scores: Sequence[TaskScores]) -> list[float]:
    """Return each seed's mean over the tasks."""
    return [mean(values) for values in zip(*(each.values for each in scores), strict=True)]
