"""What is measured, during a run and in a retention card."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, field_validator

from core.config.base import MAX_COUNT, MAX_FACTOR, MAX_LISTED, MAX_POSITIONS, Config, as_tuple


class RetentionSpec(Config):
    """The retention card: what the student keeps of its teacher on labelled tasks, and what it saves in size and time."""

    tasks: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = Field(("imdb", "rt"), description=(
        "names; labelled tasks on which each model is fine-tuned and scored ([]: size and speed alone)"))
    train_items: int = Field(2000, ge=1, le=MAX_COUNT, description="items; of a task's training part, at most")
    epochs: float = Field(2.0, gt=0, le=1e9, description="passes; over them in one fine-tuning")
    learning_rate: float = Field(3e-4, gt=0, le=MAX_FACTOR, description=(
        "number; peak step size of a fine-tuning, the same for all models (3e-5 suits encoders of 100 million parameters and more)"))
    seeds: int = Field(3, ge=1, le=MAX_LISTED, description="seeds; fine-tunings of each model on each task, paired between the models")
    seconds: float = Field(60.0, gt=0, le=1e9, description="seconds; for timing the models beside each other")
    length: int = Field(128, ge=1, le=MAX_POSITIONS, description="tokens; of the sequences that are timed")
    exports: bool = Field(False, description="switch; also export teacher and student to ONNX, in float32 and in int8, and time those")

    @field_validator("tasks")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError(f"each task is scored once: got {list(value)}")
        return value


class EvaluationSpec(Config):
    """What is measured on held-out items, and how often."""

    eval_steps: int = Field(50, ge=1, le=MAX_COUNT, description="optimiser steps; between two evaluations, at most")
    min_evaluations: int = Field(8, ge=1, le=MAX_COUNT, description=(
        "evaluations; after the first step and spread over the others, however few there are"))
    blocks: int = Field(32, ge=1, le=MAX_COUNT, description="blocks; held-out text for perplexity, KL and agreement")
    sentiment_items: int = Field(0, ge=0, le=MAX_COUNT, description=(
        "reviews; held-out reviews for sentiment accuracy before and after, where the data are film reviews (0: none)"))
    prompts: tuple[str, ...] = Field(("Write a positive one-line review.",), max_length=MAX_LISTED, description=(
        "texts; answered at every evaluation, or filled in where a text holds a [MASK]"))
    max_new_tokens: int = Field(40, ge=1, le=MAX_POSITIONS, description="tokens; longest sampled answer")
    retention: RetentionSpec | None = Field(None, description=(
        "card; what the student keeps of its teacher, or in a reading run without one of the reading teacher (default: not measured)"))
    ensemble_seeds: int | None = Field(None, ge=1, le=MAX_LISTED, description=(
        "seeds; of an ensemble's student, its control, and the same student of the first member alone: what the student keeps of the "
        "ensemble's gain (default: not compared)"))

    def interval(self, steps: int) -> int:
        """Return the optimiser steps between two evaluations of a training of so many steps; the last step is one of them."""
        return max(1, min(self.eval_steps, steps // self.min_evaluations))
