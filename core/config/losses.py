"""Weights and shapes of the loss terms."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from core.config.base import MAX_FACTOR, Config, InvalidValueError
from core.loss_terms import LOSS_TERMS


class Ramp(Config):
    """A weight that moves linearly from `start` at the first step to `end` at the last."""

    start: float = Field(ge=0, le=MAX_FACTOR, description="number; at the first step")
    end: float = Field(ge=0, le=MAX_FACTOR, description="number; at the last step")

    def at(self, progress: float) -> float:
        """Return the weight at `progress` in [0, 1] of training."""
        return self.start + (self.end - self.start) * min(max(progress, 0.0), 1.0)


def _as_ramp(value: Any) -> Any:
    return {"start": value, "end": value} if isinstance(value, (int, float)) and not isinstance(value, bool) else value


Weight = Annotated[Ramp, BeforeValidator(_as_ramp)]


def constant(value: float) -> Ramp:
    """Return a weight that stays the same."""
    return Ramp(start=value, end=value)


class LossSpec(Config):
    """Weights and shapes of the loss terms (`core.loss_terms`); `core.training.losses` holds the equations."""

    w_kd: Weight = Field(constant(1.0), description=(
        "number or {start, end}; weight of the soft targets, which are also multiplied by T squared"))
    w_hard: Weight = Field(constant(0.5), description="number or {start, end}; weight of the cross-entropy with the text itself")
    w_hidden: Weight = Field(constant(0.0), description="number or {start, end}; weight of the cosine distance of the last hidden states")
    w_hidden_mse: Weight = Field(constant(0.0), description=(
        "number or {start, end}; weight of the squared error of matched layers' hidden states"))
    hidden_layers: Literal["origin", "ends"] = Field("origin", description=(
        "rule; which teacher block's output each student block is matched with: that of the block it came from, or that of the last "
        "of the run of blocks that it stands for"))
    divergence: Literal["forward_kl", "reverse_kl", "jsd"] = Field("forward_kl", description=(
        "rule; forward_kl = KL(teacher || student), reverse_kl = KL(student || teacher), jsd = generalised Jensen-Shannon"))
    beta: float = Field(0.5, gt=0, lt=1, description=(
        "number between 0 and 1; jsd only: towards 0 it behaves as forward KL, towards 1 as reverse KL"))
    temperature: float = Field(2.0, gt=0, le=MAX_FACTOR, description="number above 0; T of the soft targets, for teacher and student alike")
    kd_positions: Literal["all", "masked"] = Field("all", description=(
        "rule; masked models only: where the soft targets are compared, at all tokens but padding or at the masked ones alone; "
        "hidden states are compared at all tokens"))

    @model_validator(mode="after")
    def _some_weight(self) -> LossSpec:
        if not any(map(self.uses, self.weights())):
            raise InvalidValueError("all loss weights are zero: nothing would be learnt; set w_kd or w_hard above 0", "losses.w_hard")
        return self

    def weights(self) -> dict[str, Ramp]:
        """Return the weight of each term, by name."""
        return {term.name: getattr(self, term.key) for term in LOSS_TERMS}

    def needs_teacher(self) -> bool:
        """Return whether any term that compares with a teacher takes part."""
        return any(self.uses(term.name) for term in LOSS_TERMS if term.needs_teacher)

    def uses(self, term: str) -> bool:
        """Return whether a term takes part at any step."""
        weight = self.weights()[term]
        return bool(weight.start or weight.end)
