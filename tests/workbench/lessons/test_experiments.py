"""From a lesson's recipe block to configurations, and from what was measured to the right answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import StillhouseError
from workbench.lessons import experiments
from workbench.lessons.blocks import Outcome, Question, Recipe
from workbench.lessons.parser import Lesson, parse_lesson

LESSON = parse_lesson("---\ntitle: Mine\n---\n", Path("mine.md"))
TWO = Question(name="q", text="Which?", options=("a", "b", "no difference"),
               outcome=Outcome(recipe="r", metric="eval/kl_to_teacher", best="lowest", margin=0.05))


def kl(value: float) -> dict[str, dict[str, float]]:
    return {"student_after": {"kl_to_teacher": value}}


def test_settings_and_sliders_become_the_recipes_of_each_run():
    block = Recipe(name="r", recipe="micro", set={"losses.temperature": "$T", "control": False},
                   runs={"T": {}, "other": {"losses.temperature": 1}})
    found = experiments.configs(LESSON, block, {"T": 6.0})
    assert [config.losses.temperature for config in found.values()] == [6.0, 1.0]
    assert [config.name for config in found.values()] == ["mine-t", "mine-other"]
    assert not any(config.control for config in found.values())


def test_a_recipe_beside_the_lesson_goes_first(tmp_path: Path):
    (tmp_path / "micro.yaml").write_text("train: {max_steps: 7}\n")
    lesson = Lesson("mine", LESSON.head, (), tmp_path / "mine.md")
    config, = experiments.configs(lesson, Recipe(name="r", recipe="micro"), {}).values()
    assert config.train.max_steps == 7


@pytest.mark.parametrize("name", ["nothing", "../recipes/smoke", "/etc/passwd"])
def test_a_recipe_that_is_not_there_is_an_error(name: str):
    with pytest.raises(StillhouseError, match="recipe"):
        experiments.configs(LESSON, Recipe(name="r", recipe=name), {})


@pytest.mark.parametrize(("a", "b", "right"), [(0.5, 0.7, "a"), (0.7, 0.5, "b"), (0.5, 0.54, "no difference")])
def test_the_best_run_answers_unless_the_difference_is_within_the_margin(a: float, b: float, right: str):
    assert experiments.right_option(TWO, {"a": kl(a), "b": kl(b)}) == right


def test_a_question_waits_for_all_its_runs():
    assert experiments.right_option(TWO, {"a": kl(0.5), "b": {}}) is None


@pytest.mark.parametrize(("student", "control", "right"), [(50.0, 60.0, "a"), (60.0, 50.0, "b")])
def test_of_one_run_the_student_stands_against_its_control(student: float, control: float, right: str):
    question = Question(name="q", text="Who?", options=("a", "b"), outcome=Outcome(recipe="r", metric="eval/perplexity", best="lowest"))
    measured = {"student_after": {"perplexity": student}, "control": {"perplexity": control}}
    assert experiments.right_option(question, {experiments.SINGLE: measured}) == right


def test_a_slider_that_is_not_there_is_an_error():
    assert experiments.number("$T", {"T": 3.0}) == 3.0
    with pytest.raises(StillhouseError, match="slider"):
        experiments.number("$S", {"T": 3.0})
