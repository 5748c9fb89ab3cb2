"""Whether a teacher can help, from losses measured before the run (`core.planning.teacher_pilot`); imports no torch.

A teacher that knows the text no better than its student makes a worse student than fine-tuning does. A short fine-tuning of the teacher on
the text helps then: teacher correction (2408.11796).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from core.evaluation.statistics import Estimate

NOTICEABLE = 0.05  # nats per token; less may be the rounding of a teacher in bf16
Verdict = Literal["helps", "tune", "knows no more"]


@dataclass(frozen=True)
class TeacherHelp:
    """What a teacher knows of the text, in nats per token on held-out blocks; intervals are Student's t over groups of blocks.

    Attributes:
        teacher, student: cross-entropies before training.
        lead: how much lower the teacher's is, paired by group.
        tuned_lead: how much lower the teacher's becomes by `tuning_steps` steps on the training text; None where that was not tried.
    """

    teacher: Estimate
    student: Estimate
    lead: Estimate
    tuned_lead: Estimate | None = None
    tuning_steps: int = 0

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> TeacherHelp:
        """Return what `to_dict` gave."""
        estimates = {name: plain[name] and Estimate.from_dict(plain[name]) for name in ("teacher", "student", "lead", "tuned_lead")}
        return cls(**estimates, tuning_steps=plain["tuning_steps"])

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, the verdict with it."""
        return {**asdict(self), "verdict": self.verdict}

    @property
    def verdict(self) -> Verdict:
        """What to expect.

        ``knows no more``: `lead` may be chance, its interval reaching 0, or is below `NOTICEABLE`. ``tune``: a few steps lower the
        teacher's loss by more than either. ``helps``: otherwise.
        """
        if not _noticeable(self.lead):
            return "knows no more"
        return "tune" if self.tuned_lead is not None and _noticeable(self.tuned_lead) else "helps"

    def __str__(self) -> str:
        losses = (f"Cross-entropy on your held-out text before training: teacher {words(self.teacher)}, student {words(self.student)} "
                  f"nats per token ({self.lead.interval_words}).")
        if self.verdict == "knows no more":
            return f"{losses} The teacher knows this text no better than the student: distillation is unlikely to beat plain fine-tuning."
        if self.verdict == "tune":
            assert self.tuned_lead is not None, "the verdict rests on it"
            return (f"{losses} The teacher does not know this kind of text well yet: {self.tuning_steps} training steps lower its loss "
                    f"by {words(self.tuned_lead)}.")
        return f"{losses} The teacher knows this text better."


def _noticeable(lead: Estimate) -> bool:
    return lead.low is not None and lead.low > 0 and lead.value >= NOTICEABLE


def words(estimate: Estimate) -> str:
    """Return a number with its margin, where it has one."""
    return f"{estimate.value:.3f}" if estimate.margin is None else f"{estimate.value:.3f} ± {estimate.margin:.3f}"
