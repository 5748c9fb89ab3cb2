"""The experiment that fine-tunes a recipe's teacher on the recipe's text, before it teaches: teacher correction (2408.11796)."""

from __future__ import annotations

from pathlib import Path

from core.config import ExperimentConfig
from core.recipes import parse_recipe

TUNING_RATE = 0.1  # times the recipe's learning rate: the teacher is trained already


def fine_tuning_of_teacher(config: ExperimentConfig) -> ExperimentConfig:
    """Return the experiment: plain training that starts from the teacher. Its student is the teacher to distil from then."""
    assert config.teacher is not None, "a recipe without a teacher has none to fine-tune"
    plain = config.to_dict()
    return parse_recipe({
        "name": f"{Path(config.teacher.model).name[:70]}-tuned", "teacher": None, "control": False,
        "student": {"model": config.teacher.model}, "losses": {"w_kd": 0, "w_hard": 1},
        "data": plain["data"], "masking": plain["masking"], "evaluation": plain["evaluation"] | {"retention": None},
        "train": plain["train"] | {"learning_rate": TUNING_RATE * config.train.learning_rate},
        "description": f"{config.teacher.model}, fine-tuned on the text before it teaches (teacher correction, arXiv 2408.11796)."})
