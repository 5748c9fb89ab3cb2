"""What an ensemble and its student came to, over the repetitions with their seeds.

    share of the gain kept = (errors of hard labels - errors of the student) / (errors of hard labels - errors of the ensemble)

Both differences are between networks measured on the same images, and taken within a seed; the share is the ratio of their means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from core.evaluation.statistics import Estimate, mean_interval, ratio_of_means


@dataclass(frozen=True, slots=True)
class Omitted:
    """A class that the student's images lacked, in one repetition.

    Attributes:
        b: nats that were added to its logit, chosen on the images that are chosen on.
        before, after: recall (0-1) of the student on the measured images, without and with b.
        hard_labels: recall of the same student that learnt from hard labels, with the same b.
        hard_labels_b, hard_labels_after: the b that is best for that one, and its recall with it.
    """

    label: str
    b: float
    before: float
    after: float
    hard_labels: float
    hard_labels_b: float
    hard_labels_after: float


@dataclass(frozen=True, slots=True)
class Repetition:
    """One repetition.

    Attributes:
        seed: that everything in it is drawn from.
        members: errors of each member, in items.
        ensemble: errors of the members' mean.
        student: errors of the student that learnt from the mean.
        hard_labels: errors of the same student from hard labels.
        weights: of the members.
        omitted: of each class that the student's images lacked; then the errors are those after all shifts.
    """

    seed: int
    members: tuple[float, ...]
    ensemble: float
    student: float
    hard_labels: float
    weights: tuple[float, ...]
    omitted: tuple[Omitted, ...] = ()


@dataclass(frozen=True, slots=True)
class EnsembleSummary:
    """All repetitions.

    Attributes:
        names: of the members.
        mean: arithmetic or geometric.
        temperature: of the soft targets.
        items: measured images.
        images: that the student learnt from.
    """

    names: tuple[str, ...]
    mean: str
    temperature: float
    items: int
    images: int
    repetitions: tuple[Repetition, ...]

    def errors(self, who: str) -> Estimate:
        """Return the errors of the ensemble, the student or the student of hard labels, with the interval over seeds."""
        return mean_interval([float(getattr(each, who)) for each in self.repetitions])

    def member(self, number: int) -> Estimate:
        """Return the errors of a member; without an interval where it is the same network in all repetitions."""
        found = [each.members[number] for each in self.repetitions]
        return mean_interval(found) if len(set(found)) > 1 else Estimate(found[0])

    @property
    def gain(self) -> Estimate:
        """Return the errors that the ensemble saves, against the student of hard labels."""
        return mean_interval([each.hard_labels - each.ensemble for each in self.repetitions])

    @property
    def share_of_gain(self) -> Estimate | None:
        """Return the share of the gain that the student keeps; None where there is no gain to keep a share of."""
        below = [each.hard_labels - each.ensemble for each in self.repetitions]
        if sum(below) <= 0:
            return None
        return ratio_of_means([each.hard_labels - each.student for each in self.repetitions], below)

    def to_dict(self) -> dict[str, Any]:
        """Return the record that the command line prints: estimates with their intervals, then every repetition."""
        share = self.share_of_gain
        return {
            "members": [{"name": name, "errors": asdict(self.member(number)), "weight": _mean([each.weights[number] for each in
                                                                                             self.repetitions])}
                        for number, name in enumerate(self.names)],
            "ensemble": {"errors": asdict(self.errors("ensemble"))}, "student": {"errors": asdict(self.errors("student"))},
            "hard_labels": {"errors": asdict(self.errors("hard_labels"))}, "gain": asdict(self.gain),
            "share_of_gain": share and asdict(share), "mean": self.mean, "temperature": self.temperature, "items": self.items,
            "images": self.images, "repetitions": [asdict(each) for each in self.repetitions]}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Read a record back."""
        repetitions = tuple(Repetition(**{**each, "members": tuple(each["members"]), "weights": tuple(each["weights"]),
                                          "omitted": tuple(Omitted(**found) for found in each["omitted"])})
                            for each in record["repetitions"])
        return cls(tuple(each["name"] for each in record["members"]), record["mean"], record["temperature"], record["items"],
                   record["images"], repetitions)


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4)
