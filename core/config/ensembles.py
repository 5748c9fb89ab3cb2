"""Several networks whose mean teaches one (1503.02531, sections 2 to 4)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from core.config.base import MAX_FACTOR, MAX_LISTED, Config, InvalidValueError
from core.config.images import MlpSpec

MemberWeight = Annotated[float, Field(ge=0, le=MAX_FACTOR)]
MixtureMean = Literal["arithmetic", "geometric"]


class MemberSpec(MlpSpec):
    """One member that is there, or some that are trained: the same network from several seeds."""

    model: str | None = Field(None, min_length=1, description=(
        "folder or run; a classifier of the same images and labels that is there (default: one is trained)"))
    count: int = Field(1, ge=1, le=MAX_LISTED, description="networks; trained from so many seeds")
    num_train_epochs: float | None = Field(None, gt=0, le=1e9, description="passes; in place of train.num_train_epochs")
    learning_rate: float | None = Field(None, gt=0, le=MAX_FACTOR, description="number; in place of train.learning_rate")

    @model_validator(mode="after")
    def _there(self) -> MemberSpec:
        if self.model is not None and (self.count > 1 or self.num_train_epochs or self.learning_rate):
            raise InvalidValueError("a member that is there is not trained: remove count, num_train_epochs and learning_rate",
                                    "ensemble.members")
        return self


class EnsembleSpec(Config):
    """The members, their mean, and the networks that are compared with them."""

    members: tuple[MemberSpec, ...] = Field((MemberSpec(count=5),), min_length=1, max_length=MAX_LISTED, description=(
        "list; networks that are trained, from several seeds or of several shapes, or classifiers that are there"))
    mean: MixtureMean = Field("arithmetic", description=(
        "rule; mean of the members' distributions at the temperature: arithmetic, or geometric (of log-probabilities, then renormalised)"))
    weights: Literal["equal", "fitted"] | tuple[MemberWeight, ...] = Field("equal", description=(
        "rule or list; equal, fitted on the images that are chosen on, or a number for each member"))
    student: MlpSpec = Field(MlpSpec(), description="network; learns from the mean, and once more from hard labels alone")
    seeds: int = Field(5, ge=1, le=MAX_LISTED, description=(
        "repetitions; of everything, with other seeds, for means with intervals"))

    @model_validator(mode="after")
    def _weights(self) -> EnsembleSpec:
        if isinstance(self.weights, tuple):
            if len(self.weights) != self.size:
                raise InvalidValueError(f"weights lists {len(self.weights)} numbers for {self.size} members", "ensemble.weights")
            if not sum(self.weights):
                raise InvalidValueError("all weights are 0: give at least one member a weight", "ensemble.weights")
        return self

    @property
    def size(self) -> int:
        """How many members there are."""
        return sum(member.count for member in self.members)

    @property
    def constant_weights(self) -> tuple[float, ...] | None:
        """The weights, together 1; None where they are fitted."""
        if self.weights == "fitted":
            return None
        given: tuple[float, ...] = self.weights if isinstance(self.weights, tuple) else (1.0,) * self.size
        return tuple(each / sum(given) for each in given)
