"""From a recipe block to configurations, and from runs to the answer of a question."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.config import ExperimentConfig
from core.recipes import override, read_recipe
from core.system.paths import ASSETS
from workbench.errors import LessonError
from workbench.lessons.blocks import Outcome, Question, Recipe, Slider
from workbench.lessons.parser import Lesson

SINGLE = ""  # the label of the one run of a block without `runs`
Measured = Mapping[str, Mapping[str, float]]  # subject -> metrics without "eval/"


def labels(block: Recipe) -> list[str]:
    """Return the labels of a block's runs, in their order."""
    return list(block.runs) or [SINGLE]


def number(value: float | str, sliders: Mapping[str, float]) -> float:
    """Return a number of a block, that of a slider where it says ``$name``. Raises LessonError for other text."""
    if isinstance(value, str):
        if value.removeprefix("$") not in sliders:
            raise LessonError(f"'{value}' stands where a number is needed.", "A number, or $name of a slider, was expected.")
        return sliders[value.removeprefix("$")]
    return value


def configs(lesson: Lesson, block: Recipe, sliders: Mapping[str, float]) -> dict[str, ExperimentConfig]:
    """Return the configuration of each run of a recipe block, by label.

    Raises:
        LessonError: no such recipe.
        ConfigError: a key or a value that the recipe cannot have.
    """
    path = recipe_path(lesson, block.recipe)
    found = {}
    for label in labels(block):
        changes = {**block.set, **block.runs.get(label, {})}
        settings = [override(key, _plain(value, sliders)) for key, value in changes.items()]
        words = re.sub(r"[^A-Za-z0-9.]+", "-", f"{lesson.slug}-{label}").strip("-.").lower()
        found[label] = read_recipe(path, [*settings, override("name", words[:60])])
    return found


def of_lesson(lesson: Lesson, recipe: str) -> dict[str, ExperimentConfig]:
    """Return the configurations of a recipe block with every slider as the lesson has it, by label.

    Raises:
        LessonError: the lesson has no such block.
        ConfigError: as `configs` raises.
    """
    block = next((each for each in lesson.of(Recipe) if each.name == recipe), None)
    if block is None:
        raise LessonError(f"The lesson '{lesson.slug}' has no recipe '{recipe}'.", "", "Open the lesson again.")
    return configs(lesson, block, {slider.name: slider.value for slider in lesson.of(Slider)})


def moved_by(lesson: Lesson, slider: str) -> set[str]:
    """Return the keys of recipes that a slider of a lesson sets."""
    changes = [changes for block in lesson.of(Recipe) for changes in (block.set, *block.runs.values())]
    return {key for each in changes for key, value in each.items() if value == f"${slider}"}


def recipe_path(lesson: Lesson, name: str) -> Path:
    """Return the file of a recipe: beside the lesson first, then with the lessons that ship, then among the shipped recipes."""
    if Path(name).name != name:
        raise LessonError(f"The recipe is given as '{name}'.",
                          "The name of a file beside the lesson, or of a shipped recipe, was expected.")
    stem = name.removesuffix(".yaml")
    places = (lesson.path.parent, ASSETS / "lessons", ASSETS / "recipes")
    for folder in places:
        if (folder / f"{stem}.yaml").is_file():
            return folder / f"{stem}.yaml"
    raise LessonError(f"There is no recipe '{name}'.", "A file beside the lesson, or one of assets/recipes/, was expected.")


def _plain(value: Any, sliders: Mapping[str, float]) -> Any:
    if isinstance(value, str) and value.startswith("$"):
        found = number(value, sliders)
        return int(found) if found == int(found) else found
    return value


def value_of(measured: Measured, outcome: Outcome) -> float | None:
    """Return the number that an outcome is about; None while it has not been measured."""
    return measured.get(outcome.subject or "student_after", {}).get(outcome.metric.removeprefix("eval/"))


def right_option(question: Question, measured: Mapping[str, Measured]) -> str | None:
    """Return the option that the runs show to be right; None while one of them is not there.

    Args:
        measured: by the label of the run; with one run, options are its subjects: the first the student, the second the control.
    """
    outcome = question.outcome
    assert outcome is not None and outcome.best is not None, "the parser sees to it"
    values: dict[str, float] = {}
    if set(measured) == {SINGLE}:
        found = [measured[SINGLE].get(subject, {}).get(outcome.metric.removeprefix("eval/")) for subject in ("student_after", "control")]
        values = {option: value for option, value in zip(question.options, found, strict=False) if value is not None}
        wanted = 2
    else:
        for label, each in measured.items():
            value = value_of(each, outcome)
            if value is not None and label in question.options:
                values[label] = value
        wanted = sum(label in question.options for label in measured)
    if len(values) < max(wanted, 2):
        return None
    ranked = sorted(values, key=lambda option: values[option], reverse=outcome.best == "highest")
    if abs(values[ranked[0]] - values[ranked[1]]) < outcome.margin and question.options[-1] not in values:
        return question.options[-1]
    return ranked[0]
