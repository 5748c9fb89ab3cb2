"""What the kinds of experiments share: their name, losses, optimisation and measurement, and how they are written out."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import yaml
from pydantic import Field, field_validator, model_validator

from core.config.base import Config, InvalidValueError, counted
from core.config.data import DataSpec, MaskingSpec
from core.config.evaluation import EvaluationSpec
from core.config.losses import LossSpec
from core.config.models import StudentSpec, TeacherSpec
from core.config.training import TrainSpec
from core.config.traits import require_compilable, require_shardable
from core.errors import SetField
from core.recipe_keys import release_shape

SECTIONS = ("teacher", "student", "losses", "data", "masking", "task", "images", "train", "evaluation")
Kind = Literal["distill", "pretrain", "fine_tune", "chain", "bridge", "reading", "ensemble", "specialists"]
ORDER = ("kind", "name", "description", "teacher", "student", "losses", "data", "masking", "train", "evaluation", "bridge", "reading",
         "task", "chain", "ensemble", "images", "specialists", "control")  # of keys in a recipe that is written out


class ExperimentConfig(Config):
    """What every experiment has; each kind adds its own sections (`AnyExperiment` is the union of the kinds).

    A section that a kind has no use for is no field of it, and is no key of its recipes. Code that serves several kinds may read
    `teacher`, `student`, `data`, `masking` and `control` of any of them: where they are no fields they are what absence means.
    """

    kind: Kind
    name: str | None = Field(None, description="name; letters, digits, dots, dashes and underscores (default: made from the recipe)")
    description: str = Field("", description="text; purpose of the experiment")
    losses: LossSpec = Field(LossSpec(), validate_default=True, description="loss; terms and temperature")
    train: TrainSpec = Field(TrainSpec(), description="optimisation")
    evaluation: EvaluationSpec = Field(EvaluationSpec(), validate_default=True, description="measurement")

    # Section of another kind -> why this one has none.
    excludes: ClassVar[Mapping[str, str]] = {}
    compares_ensembles: ClassVar[bool] = False  # whether evaluation.ensemble_seeds means something

    if TYPE_CHECKING:
        @property
        def teacher(self) -> TeacherSpec | None:
            """Return the teacher's section; None where the kind has none or the recipe names none."""

        @property
        def student(self) -> StudentSpec:
            """Return the student's section, or the defaults."""

        @property
        def data(self) -> DataSpec:
            """Return the data's section, or the defaults."""

        @property
        def masking(self) -> MaskingSpec:
            """Return the masking's section, or the defaults."""

        @property
        def control(self) -> bool:
            """Return whether a control is trained too."""

    @field_validator("name")
    @classmethod
    def _plain_name(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", value):
            raise ValueError(f"{value!r} is not a run name: use 1 to 80 letters, digits, dots, dashes and underscores, "
                             "starting with a letter or digit")
        return value

    @field_validator("evaluation")
    @classmethod
    def _retention(cls, value: EvaluationSpec) -> EvaluationSpec:
        if value.retention is not None and "evaluation.retention" in cls.excludes:
            raise InvalidValueError(cls.excludes["evaluation.retention"], suggestion=SetField("evaluation.retention", None))
        if value.ensemble_seeds is not None and not cls.compares_ensembles:
            raise InvalidValueError("only a student that is distilled from an ensemble of language models is compared over seeds in this "
                                    "way: set evaluation.ensemble_seeds to null", suggestion=SetField("evaluation.ensemble_seeds", None))
        return value

    @model_validator(mode="after")
    def _shardable(self) -> Self:
        require_compilable(self.kind, self.train)
        require_shardable(self.kind, self.train, self.teacher, self.student, self.evaluation)
        return self

    @classmethod
    def default_weights(cls, plain: Mapping[str, Any]) -> Mapping[str, float]:
        """Return the weights of the losses that a recipe leaves unsaid, where they differ from those of `LossSpec`."""
        return {}

    def to_yaml(self) -> str:
        """Return the whole configuration as a recipe that `core.recipes.parse_recipe` reads back to an equal value."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True, width=100)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data: constant weights as numbers, tuples as lists."""
        plain = self.model_dump(mode="json")
        for term, ramp in plain["losses"].items():
            if isinstance(ramp, dict) and ramp["start"] == ramp["end"]:
                plain["losses"][term] = ramp["start"]
        return {key: plain[key] for key in ORDER if key in plain}

    def digest(self) -> str:
        """Return twelve hexadecimal digits that change with anything but the name and the description; the same as in release 0.1.0."""
        plain = release_shape(counted(self, self.to_dict()))
        plain = {key: value for key, value in plain.items() if key not in ("name", "description")}
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:12]
