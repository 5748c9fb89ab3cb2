"""What a recorder receives besides numbers: one frozen type for each kind of event.

    Phase, WritingTexts, ScoringTask, Annotating,
    TrainingNetwork                     ``phase``        what the run does now
    Headway                             ``headway``      how far the run is
    Processes                           ``processes``    speed and memory of each of several processes
    JobState                            ``job``          how the job is that carries the run out elsewhere
    Evaluation                          ``evaluation``   a model was measured
    Sample                              ``samples``      a model answered a prompt
    BridgeCorpus                        ``bridge``       a teacher has written its texts
    RunWarning                          ``warning``      something that the user should know
    ClaimPart, AblationPart, StudyPart  ``claim``, ``ablation``, ``part``   a part of a study begins

`core.reports.run_report` (``report``) and `core.reports.retention_card` (``retention``) are events too. ``from_dict`` of each type and
`parse_phase` read stored events back, also those of release 0.1.0. Stored records keep the names of that release: `RECORD_KEYS`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Protocol, Self

STUDENT, CONTROL = "student", "control"  # variants
TEACHER, STUDENT_BEFORE, STUDENT_AFTER = "teacher", "student_before", "student_after"  # subjects; the trained control is CONTROL
STAGES = {TEACHER: (TEACHER, ""), STUDENT_BEFORE: (STUDENT, "before"), STUDENT_AFTER: (STUDENT, "after"), CONTROL: (CONTROL, "after")}
SUBJECTS = {place: subject for subject, place in STAGES.items()}  # (variant, stage) -> subject


class Event(Protocol):
    """Anything that is recorded.

    Attributes:
        kind: under which it is stored.
    """

    @property
    def kind(self) -> str:
        """Return the kind of event."""

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-serialisable record that is stored."""


@dataclass(frozen=True)
class _Record:
    """Fields as a record; those that are None are left out."""

    kind: ClassVar[str]
    RECORD_KEYS: ClassVar[Mapping[str, str]] = {}  # field -> its name in records, where they differ

    def to_dict(self) -> dict[str, Any]:
        """Return the record."""
        values = ((self.RECORD_KEYS.get(each.name, each.name), getattr(self, each.name)) for each in fields(self))
        return {name: value for name, value in values if value is not None}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Read a record back; names that this release does not know are left out."""
        names = {cls.RECORD_KEYS.get(each.name, each.name): each.name for each in fields(cls)}
        return cls(**{names[key]: value for key, value in record.items() if key in names})


@dataclass(frozen=True)
class Phase(_Record):
    """A new phase of the run begins.

    Attributes:
        name: ``load teacher``, ``prepare data``, ``train``, ``steps``, ``evaluate`` and the like.
        variant: whose training begins.
        subject: who is measured (a key of `STAGES`), or the kind of a row of the retention card.
        total_steps: optimiser steps of the training that begins.
        anchor, anchors: the number of the chain's anchor that is trained, and how many are.
        details: further facts, for the log.
    """

    kind: ClassVar[str] = "phase"
    RECORD_KEYS: ClassVar[Mapping[str, str]] = {"variant": "arm", "subject": "who"}
    name: str
    variant: str | None = None
    subject: str | None = None
    total_steps: int | None = None
    anchor: int | None = None
    anchors: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the record, the details beside the other keys."""
        record = super().to_dict()
        return record | record.pop("details")

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Read a record back; keys of its own are details."""
        known = {cls.RECORD_KEYS.get(each.name, each.name) for each in fields(cls)}
        plain = {key: value for key, value in record.items() if key in known}
        if isinstance(place := record.get("anchor"), str):  # "1 of 3" in release 0.1.0
            anchor, _, anchors = place.partition(" of ")
            plain |= {"anchor": int(anchor), "anchors": int(anchors)}
        return super().from_dict(plain | {"details": {key: value for key, value in record.items() if key not in known}})


@dataclass(frozen=True)
class WritingTexts(Phase):
    """A bridge's teacher writes the texts that the student is trained on.

    Attributes:
        done, texts: texts written, and to be written.
        kept: texts to train on.
        left_out: reason (empty, repetitive, duplicate) -> texts.
    """

    NAME: ClassVar[str] = "write texts"
    name: str = NAME
    done: int = 0
    texts: int = 0
    kept: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ScoringTask(Phase):
    """A model of the retention card is scored on a labelled task.

    Attributes:
        task, seed: of the score.
        done, total: scores of the card, before this one and in all.
    """

    NAME: ClassVar[str] = "retention"
    name: str = NAME
    task: str = ""
    seed: int = 0
    done: int = 0
    total: int = 0


@dataclass(frozen=True)
class Annotating(Phase):
    """A reading teacher takes notes of sentences.

    Attributes:
        behaviour: entities or questions.
        done, sentences: sentences that are answered, also by earlier calls, and all of them.
        valid, dropped: answers of this call of which something is left, and those of which nothing is.
    """

    NAME: ClassVar[str] = "take notes"
    name: str = NAME
    behaviour: str = ""
    done: int = 0
    sentences: int = 0
    valid: int = 0
    dropped: int = 0


@dataclass(frozen=True)
class TrainingNetwork(Phase):
    """A small network is trained: a member of an ensemble, a generalist, a specialist, or a student of them.

    Attributes:
        network: ``member 2``, ``student``, ``student of hard labels``.
        seed: of the repetition.
        done, total: networks of the run, before this one and in all.
    """

    NAME: ClassVar[str] = "train networks"
    name: str = NAME
    network: str = ""
    seed: int = 0
    done: int = 0
    total: int = 0


@dataclass(frozen=True)
class Headway(_Record):
    """How far a run is; the next one replaces it, so that it is not stored among the events.

    Attributes:
        share: of the run's time that is over, 0 to 1.
        seconds_left: of the whole run; None while nothing of it was measured.
        done, total: items of the present phase, as far as it has any.
    """

    kind: ClassVar[str] = "headway"
    share: float
    seconds_left: float | None = None
    done: int = 0
    total: int = 0


@dataclass(frozen=True)
class Processes(_Record):
    """How fast each of the processes is that train together, and what it holds, by rank.

    Attributes:
        tokens_per_second: of each process's own share.
        memory_gib: resident memory, or memory allocated on its GPU.
    """

    kind: ClassVar[str] = "processes"
    RECORD_KEYS: ClassVar[Mapping[str, str]] = {"variant": "arm"}
    variant: str
    step: int
    tokens_per_second: Sequence[float]
    memory_gib: Sequence[float]


@dataclass(frozen=True)
class JobState(_Record):
    """A job elsewhere has come into another state, in the words of its place."""

    kind: ClassVar[str] = "job"
    text: str


@dataclass(frozen=True)
class Evaluation:
    """A model was measured on held-out items.

    Attributes:
        variant: ``teacher``, ``student`` or ``control``.
        stage: ``before`` or ``after`` the training; empty for the teacher.
        metrics: name -> value, by the names of `core.metrics` without ``eval/``.
        anchor: the number of the chain's anchor whose training this belongs to.
    """

    kind: ClassVar[str] = "evaluation"
    variant: str
    stage: str
    metrics: Mapping[str, float]
    anchor: int | None = None

    @classmethod
    def of(cls, subject: str, metrics: Mapping[str, float]) -> Self:
        """Return the evaluation of a subject, a key of `STAGES`."""
        return cls(*STAGES[subject], metrics)

    @property
    def subject(self) -> str:
        """The key of this measurement in reports: teacher, student_before, student_after or control."""
        return SUBJECTS[self.variant, self.stage]

    def to_dict(self) -> dict[str, Any]:
        """Return the record."""
        return {"who": self.subject, "metrics": dict(self.metrics)} | ({} if self.anchor is None else {"anchor": self.anchor})

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Read a record back; in release 0.1.0 the anchor stood in ``who``, as in ``anchor 1: student_before``."""
        who = re.fullmatch(r"(?:anchor (\d+): )?(\w+)", record["who"])
        assert who is not None, f"{record['who']!r} is no subject"
        anchor, subject = who.groups()
        return cls(*STAGES[subject], record["metrics"], int(anchor) if anchor else record.get("anchor"))


@dataclass(frozen=True)
class Sample(_Record):
    """A model answered a prompt, at an optimiser step of its training."""

    kind: ClassVar[str] = "samples"
    RECORD_KEYS: ClassVar[Mapping[str, str]] = {"variant": "arm"}
    variant: str
    step: int
    prompt: str
    answer: str


@dataclass(frozen=True)
class BridgeCorpus(_Record):
    """A bridge's teacher has written everything; as in `WritingTexts`."""

    kind: ClassVar[str] = "bridge"
    kept: int
    left_out: Mapping[str, int]


@dataclass(frozen=True)
class RunWarning(_Record):
    """Something that the user should know, although the run continues."""

    kind: ClassVar[str] = "warning"
    message: str


@dataclass(frozen=True)
class ClaimPart(_Record):
    """A seed of a claim begins; None for all seeds at once."""

    kind: ClassVar[str] = "claim"
    RECORD_KEYS: ClassVar[Mapping[str, str]] = {"total": "seeds"}
    name: str
    seed: int | None
    done: int
    total: int


@dataclass(frozen=True)
class AblationPart(_Record):
    """A training of an ablation begins: the recipe, or a variant of it without one part, with a seed."""

    kind: ClassVar[str] = "ablation"
    variant: str
    seed: int
    done: int
    total: int


@dataclass(frozen=True)
class StudyPart(_Record):
    """A part of a study begins, as the scoring of one form of a model."""

    kind: ClassVar[str] = "part"
    name: str
    done: int
    total: int


PHASES: tuple[type[WritingTexts] | type[ScoringTask] | type[Annotating] | type[TrainingNetwork], ...] = (
    WritingTexts, ScoringTask, Annotating, TrainingNetwork)


def parse_phase(record: Mapping[str, Any]) -> Phase:
    """Read the record of a phase."""
    phase = next((each for each in PHASES if record["name"] == each.NAME), Phase)
    return phase.from_dict(record)
