"""The live blocks of a lesson: what each fenced block is called, and which keys it takes.

A lesson is Markdown. A fenced block whose first word is one of `BLOCKS` is live, and its content is YAML with the keys below;
every other fence is code that is shown. docs/lessons.md is the author's guide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

NAME = r"^[A-Za-z][A-Za-z0-9_-]{0,39}$"
Number = float | str  # a number, or $name of a slider


class Block(BaseModel):
    """A live block of a lesson."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Slider(Block):
    """A number that figures and recipes below it read as ``$name``."""

    name: str = Field(pattern=NAME, description="letters, digits, - and _; figures and recipes read it as $name")
    label: str = Field(min_length=1, description="text beside the slider")
    min: float = Field(description="number; its left end")
    max: float = Field(description="number; its right end")
    step: float = Field(1.0, gt=0, description="number above 0; between two positions")
    value: float = Field(description="number; where it stands at first")

    @model_validator(mode="after")
    def _in_order(self) -> Slider:
        if not self.min <= self.value <= self.max or self.min == self.max:
            raise ValueError(f"min, value and max must ascend: they are {self.min:g}, {self.value:g} and {self.max:g}")
        return self


class Figure(Block):
    """A live figure, with a table of its numbers beside it."""

    show: Literal["temperature", "layers", "results"] = Field(description=(
        "temperature: a model's distribution over the next token at T; layers: which blocks a student copies; results: what the lesson's "
        "recipe came to over seeds"))
    caption: str = Field("", description="text below the figure")
    model: str = Field("house-chat", description="model reference; temperature")
    prompt: str = Field("Write a positive one-line review.", description="text; temperature: what the model continues")
    temperature: Number = Field(1.0, description="number or $name; temperature")
    teacher_layers: int = Field(8, ge=1, le=64, description="number; layers: depth of the teacher")
    student_layers: Number = Field(4, description="number or $name; layers: depth of the student")
    layer_map: Literal["uniform", "first"] = Field("uniform", description="rule; layers: which blocks are copied")
    results: str = Field("", description="name of a file in assets/results/lessons/; results")
    metric: str = Field("", description="name of a metric, as eval/perplexity; results")

    @model_validator(mode="after")
    def _whole(self) -> Figure:
        if self.show == "results" and not (self.results and self.metric):
            raise ValueError("a figure of results needs the keys results and metric")
        return self


class Outcome(Block):
    """What answers a question: runs of a recipe of the same lesson."""

    recipe: str = Field(description="name of a recipe block of this lesson")
    metric: str = Field(description="name of a metric, as eval/perplexity")
    subject: Literal["teacher", "student_before", "student_after", "control"] | None = Field(
        None, description="whose value a number is guessed of (default: student_after)")
    best: Literal["lowest", "highest"] | None = Field(None, description="which option wins")
    margin: float = Field(0.0, ge=0, description="number; options closer than this count as no difference: the last option is right then")


class Question(Block):
    """A question whose guess is committed before the answer is shown, beside it."""

    name: str = Field(pattern=NAME, description="letters, digits, - and _")
    text: str = Field(min_length=1, description="Markdown; the question")
    options: tuple[str, ...] = Field((), description="list; the answers to choose from; without it a number is guessed")
    unit: str = Field("", description="text; of a number")
    min: float = Field(0.0, description="number; the least that can be guessed")
    max: float = Field(100.0, description="number; the most that can be guessed")
    answer: str | float | None = Field(None, description="the right option, or number; without it the outcome answers")
    outcome: Outcome | None = Field(None, description="recipe, metric, and best (of the options) or subject (of a number)")
    why: str = Field("", description="Markdown; shown with the answer")

    @model_validator(mode="after")
    def _answered(self) -> Question:
        if (self.answer is None) == (self.outcome is None):
            raise ValueError("give either answer or outcome")
        if self.options and self.answer is not None and self.answer not in self.options:
            raise ValueError(f"answer '{self.answer}' is not among the options")
        if self.options and len(self.options) < 2:
            raise ValueError("a question needs two options at least")
        if self.options and self.outcome is not None and self.outcome.best is None:
            raise ValueError("an outcome of options needs best: lowest or highest")
        return self


class Recipe(Block):
    """A button that trains: one run, or one for each entry of `runs`."""

    name: str = Field(pattern=NAME, description="letters, digits, - and _; questions refer to it")
    recipe: str = Field(description="file of a recipe: beside the lesson, or in assets/recipes/ without .yaml")
    label: str = Field("Run it", description="text on the button")
    set: dict[str, Any] = Field({}, description="key of the recipe: value, or $name of a slider")
    runs: dict[str, dict[str, Any]] = Field({}, description="label: {key: value}; one run for each, in this order")
    measure: tuple[str, ...] = Field(("eval/perplexity", "eval/kl_to_teacher"), min_length=1,
                                     description="list of metrics; the columns of its table")
    after: tuple[str, ...] = Field((), description="list of questions that have to be answered first")


class Steps(Block):
    """The first optimiser steps of a recipe, one at a click."""

    recipe: str = Field(description="name of a recipe block of this lesson; of several runs the first")
    most: int = Field(10, ge=1, le=40, description="number of steps that can be looked at")


class Compare(Block):
    """The same prompt to several models, side by side."""

    models: tuple[str, ...] = Field(min_length=2, max_length=3, description=(
        "list of two or three model references; $name of a recipe block is the student of its latest run here"))
    prompt: str = Field(min_length=1, description="text; what they are given at first")
    blind: bool = Field(False, description="true hides which model is which until the reader has guessed")
    max_new_tokens: int = Field(60, ge=1, le=200, description="number of tokens an answer has at most")


class Claim(Block):
    """A paper's claim with the published number, ours, and the verdict."""

    name: str = Field(min_length=2, description="name of a claim, as C1")


LiveBlock = Slider | Figure | Question | Recipe | Steps | Compare | Claim
BLOCKS: dict[str, type[LiveBlock]] = {"figure": Figure, "slider": Slider, "question": Question, "recipe": Recipe, "steps": Steps,
                                      "compare": Compare, "claim": Claim}


@dataclass(frozen=True, slots=True)
class Text:
    """Markdown between two live blocks."""

    markdown: str


@dataclass(frozen=True, slots=True)
class Placed:
    """A live block, and the line of the file on which its fence opens, from 1."""

    block: LiveBlock
    line: int
