"""The experiment that tests of distillation change: a tiny teacher, a small text, six steps."""

from __future__ import annotations

from pathlib import Path

from core.config import ExperimentConfig
from core.recipes import parse_recipe

STEPS = 6
RETENTION = {"retention": {"tasks": ["imdb", "rt"], "seconds": 0.2, "length": 16}}


def experiment(teacher: Path, corpus: Path, **changes: object) -> ExperimentConfig:
    plain = {"teacher": {"model": str(teacher)}, "student": {"layers": 2}, "losses": {"w_hidden": 0.2},
             "data": {"source": str(corpus), "block_length": 24, "validation_fraction": 0.2},
             "train": {"max_steps": STEPS, "per_device_train_batch_size": 2, "save_steps": 2, "device": "cpu", "precision": "fp32"},
             "evaluation": {"eval_steps": 3, "blocks": 4, "prompts": ["A film"], "max_new_tokens": 4}}
    for section, values in changes.items():
        plain[section] = {**plain[section], **values} if isinstance(values, dict) and section in plain else values
    return parse_recipe(plain)
