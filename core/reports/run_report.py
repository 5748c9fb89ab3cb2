"""The result of a run, as `core.methods` returns it, the command line prints it and ``report.json`` holds it.

    RunReport      a student that was distilled, trained on text or fine-tuned
    ChainReport    a chain of anchors

Both are events of the kind ``report``. `parse_report` reads their records back, also those of release 0.1.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

from core.events import STUDENT_AFTER, STUDENT_BEFORE
from core.reports.ensemble_report import EnsembleSummary
from core.reports.retention_card import Card
from core.reports.specialists_report import SpecialistsSummary

Metrics = Mapping[str, float]


@dataclass(frozen=True)
class ModelSummary:
    """A model by its name and sizes, which are None for one at an address."""

    name: str
    parameters: int | None
    layers: int | None


@dataclass(frozen=True)
class StudentSummary:
    """The student of a run; its sizes are None until it was built.

    Attributes:
        started: the checkpoint that a fine-tuning starts from.
        parameters: of the saved model; tied weights count once.
        trainable_parameters: numbers that training changed.
        layer_map: the teacher block of each block, where there is a teacher.
    """

    name: str
    started: str | None = None
    parameters: int | None = None
    trainable_parameters: int | None = None
    layers: int | None = None
    layer_map: tuple[int, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the record: ``name``, what is known of ``started``, then the sizes together."""
        record: dict[str, Any] = {"name": self.name} | ({"started": self.started} if self.started else {})
        if self.parameters is not None:
            record |= {"parameters": self.parameters, "trainable_parameters": self.trainable_parameters, "layers": self.layers,
                       "layer_map": self.layer_map and list(self.layer_map)}
        return record

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Read a record back."""
        layer_map = record.get("layer_map")
        return cls(**{**record, "layer_map": layer_map and tuple(layer_map)})


@dataclass(frozen=True)
class CorpusSummary:
    """The packed text that a language model was trained on.

    Attributes:
        digest: of the blocks.
        padding: share of the positions that is padding, 0 to 1.
    """

    digest: str
    blocks: int
    documents: int
    padding: float


@dataclass(frozen=True)
class TaskSummary:
    """The labelled task that a model was fine-tuned on.

    Attributes:
        digest: of the items.
        kind: ``classification`` or ``question_answering``.
        labels: none for questions.
        train_items, items: items for training, and held out.
    """

    digest: str
    task: str
    kind: str
    labels: tuple[str, ...]
    train_items: int
    items: int


@dataclass(frozen=True)
class SignalsSummary:
    """Where the teacher's answers came from, where they were kept.

    Attributes:
        form: ``hidden``, ``top_k`` or ``sampled``.
        cache: its key.
        queried, reused: blocks that the teacher answered in this run, and blocks whose answers were read.
        bytes: of the cache.
        seconds: that the teacher took in this run.
        ratio: r, the student's parameters over the teacher's; None, as the bound, where the teacher does not say how large it is.
        bound: most that a step can become faster where the teacher is not queried, (1 + 3r) / 3r: forward and backward of the student cost
            6r of what the teacher's forward costs 2.
        tokens_per_second: of the run; 0 where no step was timed.
        live_tokens_per_second: estimate for the same run with a live teacher; None where the teacher was queried.
        server: of a teacher at an address: address, model, requests, tokens, retries, seconds, latency, positions that listed too few.
    """

    form: str
    cache: str
    queried: int
    reused: int
    bytes: int
    seconds: float
    ratio: float | None
    bound: float | None
    tokens_per_second: float
    live_tokens_per_second: float | None = None
    server: Mapping[str, Any] | None = None

    @property
    def speedup(self) -> float | None:
        """How many times faster than with a live teacher."""
        return self.tokens_per_second / self.live_tokens_per_second if self.live_tokens_per_second else None

    def to_dict(self) -> dict[str, Any]:
        """Return the record, with the speed-up and its share of the bound."""
        speedup, plain = self.speedup, asdict(self)
        if self.server is None:
            del plain["server"]
        return plain | {"speedup": speedup and round(speedup, 4),
                        "share_of_bound": round(speedup / self.bound, 4) if speedup and self.bound else None}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Read a record back."""
        return cls(**{name: record[name] for name in cls.__dataclass_fields__ if name in record})


@dataclass(frozen=True)
class RunReport:
    """What a run came to.

    Attributes:
        output_dir: the student's model folder.
        metrics: subject (`core.events.STAGES`) -> metrics; None where it was not measured.
        data: None where a bridge was stopped while its teacher wrote.
        seconds: working time of all calls.
        tokens: tokens that the student was trained on.
        stopped: whether the user stopped it; then everything is as far as it is known.
        command: the command line that repeats the run.
        retention: of language models only.
        signals: where the teacher's answers were kept; None for a live teacher.
        specialists: of a generalist with specialists only.
        ensemble: of an ensemble of classifiers only; its students are those of all repetitions.
    """

    kind: ClassVar[str] = "report"
    output_dir: str
    teacher: ModelSummary | None
    student: StudentSummary
    metrics: Mapping[str, Metrics | None]
    data: CorpusSummary | TaskSummary | None
    seconds: float
    tokens: int
    tokens_per_second: float
    stopped: bool
    command: str
    retention: Card | None = None
    signals: SignalsSummary | None = None
    ensemble: EnsembleSummary | None = None
    specialists: SpecialistsSummary | None = None

    def of(self, subject: str) -> Metrics:
        """Return the metrics of a subject; none where it was not measured."""
        return self.metrics.get(subject) or {}

    @property
    def student_before(self) -> Metrics:
        """Metrics of the student before its training."""
        return self.of(STUDENT_BEFORE)

    @property
    def student_after(self) -> Metrics:
        """Metrics of the trained student."""
        return self.of(STUDENT_AFTER)

    def to_dict(self) -> dict[str, Any]:
        """Return the record that the command line prints; fine-tunings have no ``retention``."""
        record: dict[str, Any] = {
            "output_dir": self.output_dir, "teacher": self.teacher and asdict(self.teacher), "student": self.student.to_dict(),
            "metrics": {subject: metrics and dict(metrics) for subject, metrics in self.metrics.items()}}
        if isinstance(self.data, TaskSummary):
            record["data"] = asdict(self.data) | {"labels": list(self.data.labels)}
        elif self.data is not None:
            record["data"] = asdict(self.data)
        record |= {"seconds": self.seconds, "tokens": self.tokens, "tokens_per_second": self.tokens_per_second, "stopped": self.stopped,
                   "command": self.command}
        if isinstance(self.data, CorpusSummary):
            record["retention"] = self.retention and self.retention.to_dict()
        if self.signals is not None:
            record["signals"] = self.signals.to_dict()
        if self.ensemble is not None:
            record["ensemble"] = self.ensemble.to_dict()
        if self.specialists is not None:
            record["specialists"] = self.specialists.to_dict()
        return record

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Read a record back. What a record of another release lacks is empty; what this release does not know is left out."""
        teacher, data, card, signals, ensemble, specialists = (
            record.get(part) for part in ("teacher", "data", "retention", "signals", "ensemble", "specialists"))
        if data is not None:
            data = TaskSummary(**data | {"labels": tuple(data["labels"])}) if "task" in data else CorpusSummary(**data)
        return cls(
            record.get("output_dir", ""), teacher and ModelSummary(**teacher),
            StudentSummary.from_dict(record.get("student", {"name": ""})), record.get("metrics", {}), data,
            record.get("seconds", 0.0), record.get("tokens", 0), record.get("tokens_per_second", 0.0), record.get("stopped", False),
            record.get("command", ""), card and Card.from_dict(card), signals and SignalsSummary.from_dict(signals),
            ensemble and EnsembleSummary.from_dict(ensemble), specialists and SpecialistsSummary.from_dict(specialists))


@dataclass(frozen=True)
class AnchorSummary:
    """An anchor of a chain: its sizes, its loss on the chain's slice (NaN until it was measured), and the cost of its training."""

    number: int
    parameters: int
    layers: int
    hidden: int
    heads: int
    feed_forward: int
    validation_loss: float
    tokens: int
    seconds: float


@dataclass(frozen=True)
class ChainReport:
    """What building a chain came to.

    Attributes:
        output_dir: the chain's folder.
        teacher: the largest anchor.
        curve_points: measured sizes between the anchors.
        seconds: working time of this call; `tokens` are those of all anchors.
        stopped, command: as in `RunReport`.
    """

    kind: ClassVar[str] = "report"
    output_dir: str
    teacher: ModelSummary
    anchors: tuple[AnchorSummary, ...]
    curve_points: int
    tokens: int
    seconds: float
    tokens_per_second: float
    stopped: bool
    command: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record that the command line prints."""
        return asdict(self) | {"anchors": [asdict(anchor) for anchor in self.anchors]}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Read a record back."""
        return cls(**{**record, "teacher": ModelSummary(**record["teacher"]),
                      "anchors": tuple(AnchorSummary(**anchor) for anchor in record["anchors"])})


Report = RunReport | ChainReport


def parse_report(record: Mapping[str, Any]) -> Report:
    """Read the record of a report."""
    return ChainReport.from_dict(record) if "anchors" in record else RunReport.from_dict(record)


