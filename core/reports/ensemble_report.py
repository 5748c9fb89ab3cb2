"""What an ensemble and its student came to, over the repetitions with their seeds.

    share of the gain kept = (errors of hard labels - errors of the student) / (errors of hard labels - errors of the ensemble)

Both differences are between networks measured on the same items, and taken within a seed; the share is the ratio of their means.
The errors of classifiers are wrong items; those of language models are their cross-entropy on held-out text, in nats a token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from core.evaluation.statistics import Estimate, mean_interval, ratio_of_means

Measure = Literal["errors", "cross_entropy"]


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
        members: errors of each member.
        ensemble: errors of the members' mean.
        student: errors of the student that learnt from the mean.
        hard_labels: errors of the same student from hard labels.
        weights: of the members.
        omitted: of each class that the student's images lacked; then the errors are those after all shifts.
        one_member: errors of the same student that learnt from the first member alone; None where there is none.
    """

    seed: int
    members: tuple[float, ...]
    ensemble: float
    student: float
    hard_labels: float
    weights: tuple[float, ...]
    omitted: tuple[Omitted, ...] = ()
    one_member: float | None = None


@dataclass(frozen=True, slots=True)
class EnsembleSummary:
    """All repetitions.

    Attributes:
        names: of the members.
        mean: arithmetic or geometric.
        temperature: of the soft targets.
        items: measured images, or tokens of held-out text.
        images: that the student learnt from; tokens of a language model, repetitions counted, which are those of all its variants.
        measure: what errors are: wrong items, or the cross-entropy in nats a token.
    """

    names: tuple[str, ...]
    mean: str
    temperature: float
    items: int
    images: int
    repetitions: tuple[Repetition, ...]
    measure: Measure = "errors"

    def errors(self, who: str) -> Estimate:
        """Return the errors of the ensemble or of a student, with the interval over seeds.

        Args:
            who: ``ensemble``, ``student``, ``hard_labels`` or, where there is one, ``one_member``.
        """
        found = [float(getattr(each, who)) for each in self.repetitions]
        # The members that language models have are there already, and their mean is the same in all repetitions.
        return mean_interval(found) if self.measure == "errors" else _over_seeds(found)

    def member(self, number: int) -> Estimate:
        """Return the errors of a member; without an interval where it is the same network in all repetitions."""
        return _over_seeds([each.members[number] for each in self.repetitions])

    @property
    def gain(self) -> Estimate:
        """Return the errors that the ensemble saves, against the student of hard labels."""
        return mean_interval([each.hard_labels - each.ensemble for each in self.repetitions])

    @property
    def lead_over_one_member(self) -> Estimate | None:
        """Return the errors that the student saves against the same student of the first member alone; None where there is none."""
        found = [each.one_member - each.student for each in self.repetitions if each.one_member is not None]
        return mean_interval(found) if found else None

    @property
    def share_of_gain(self) -> Estimate | None:
        """Return the share of the gain that the student keeps; None where there is no gain to keep a share of."""
        below = [each.hard_labels - each.ensemble for each in self.repetitions]
        if sum(below) <= 0:
            return None
        return ratio_of_means([each.hard_labels - each.student for each in self.repetitions], below)

    def to_dict(self) -> dict[str, Any]:
        """Return the record that the command line prints: estimates with their intervals, then every repetition."""
        share, lead = self.share_of_gain, self.lead_over_one_member
        alone = {} if lead is None else {"one_member": {"name": self.names[0], "errors": asdict(self.errors("one_member")),
                                                        "student_saves": asdict(lead)}}
        return {
            "members": [{"name": name, "errors": asdict(self.member(number)), "weight": _mean([each.weights[number] for each in
                                                                                             self.repetitions])}
                        for number, name in enumerate(self.names)],
            "ensemble": {"errors": asdict(self.errors("ensemble"))}, "student": {"errors": asdict(self.errors("student"))},
            "hard_labels": {"errors": asdict(self.errors("hard_labels"))}, **alone, "gain": asdict(self.gain),
            "share_of_gain": share and asdict(share), "measure": self.measure, "mean": self.mean, "temperature": self.temperature,
            "items": self.items, "images": self.images, "repetitions": [asdict(each) for each in self.repetitions]}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Read a record back."""
        repetitions = tuple(Repetition(**{**each, "members": tuple(each["members"]), "weights": tuple(each["weights"]),
                                          "omitted": tuple(Omitted(**found) for found in each["omitted"])})
                            for each in record["repetitions"])
        return cls(tuple(each["name"] for each in record["members"]), record["mean"], record["temperature"], record["items"],
                   record["images"], repetitions, record.get("measure", "errors"))


def _over_seeds(values: Sequence[float]) -> Estimate:
    """Return a mean with its interval; equal values, as of a model that is the same in all repetitions, have none."""
    return mean_interval(values) if len(set(values)) > 1 else Estimate(values[0])


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4)
