"""Lessons as Markdown: what ships can be read, and each mistake is named with its line and what is allowed there."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import StillhouseError
from core.studies.claims import registry
from workbench import lessons
from workbench.lessons.blocks import BLOCKS, Claim, Figure, Placed, Question, Recipe, Slider, Text
from workbench.lessons.experiments import configs
from workbench.lessons.parser import Lesson, parse_lesson

HEAD = "---\ntitle: Mine\n---\n"
ROOT = Path(__file__).resolve().parents[3]


def parsed(body: str) -> Lesson:
    return parse_lesson(HEAD + body, Path("mine.md"))


def block(kind: str, body: str) -> str:
    return f"```{kind}\n{body}\n```\n"


@pytest.mark.parametrize("lesson", lessons.listed()[0], ids=lambda lesson: lesson.slug)
def test_a_shipped_lesson_can_be_read_and_run(lesson: Lesson):
    sliders = {slider.name: slider.value for slider in lesson.of(Slider)}
    for recipe in lesson.of(Recipe):
        for config in configs(lesson, recipe, sliders).values():
            assert config.train.max_steps is not None and config.train.max_steps <= 400, "a lesson's experiment is small"
    for claim in lesson.of(Claim):
        assert registry.find(claim.name)
    assert lesson.of(Question) and lesson.of(Figure)


def test_the_shipped_lessons_are_without_problems():
    found, problems = lessons.listed()
    assert not problems
    assert [lesson.slug for lesson in found][:7] == ["temperature", "half-the-depth", "did-the-teacher-help", "triple-loss", "any-size",
                                                   "ensembles", "reading"]


def test_text_blocks_and_code_stay_in_their_order():
    lesson = parsed("# One\n\n```python\nprint(1)\n```\n\n" + block("slider", "{name: T, label: T, min: 1, max: 4, value: 2}") + "\nend")
    text, slider, end = lesson.parts
    assert isinstance(text, Text) and "print(1)" in text.markdown
    assert isinstance(slider, Placed) and slider.block == Slider(name="T", label="T", min=1, max=4, value=2) and slider.line == 10
    assert isinstance(end, Text) and end.markdown == "end"


SLIDER = "{name: T, label: T, min: 1, max: 4, value: 2}"
RECIPE = "{name: r, recipe: micro}"


@pytest.mark.parametrize(("body", "line", "words"), [
    (block("slyder", SLIDER), 4, "Did you mean 'slider'"),
    (block("slider", "name: T\nlabel: T\nmin: 1\nmax: 4\nvalu: 2"), 9, "Did you mean 'value'"),
    (block("slider", "name: T\nlabel: T\nmin: 5\nmax: 4\nvalue: 2"), 5, "ascend"),
    (block("slider", "name: T\nlabel: T\nmin: one\nmax: 4\nvalue: 2"), 7, "number"),
    (block("slider", "name: a b\nlabel: T\nmin: 1\nmax: 4\nvalue: 2"), 5, "letters, digits"),
    (block("slider", "name: [T"), 5, "not YAML"),
    (block("slider", "- 1"), 5, "Keys of a slider block: name, label"),
    (block("slider", SLIDER) + block("slider", SLIDER), 7, "second time"),
    (block("figure", "show: temperature\ntemperature: $T"), 4, "slider above it were expected: there is none"),
    (block("figure", "show: movie"), 5, "temperature"),
    (block("figure", "show: results"), 5, "results and metric"),
    (block("question", "name: q\ntext: Which?\noptions: [a, b]"), 5, "either answer or outcome"),
    (block("question", "name: q\ntext: Which?\noptions: [a, b]\nanswer: c"), 5, "not among the options"),
    (block("question", "name: q\ntext: Which?\noutcome: {recipe: r, metric: loss}"), 4, "Recipes of this lesson: there is none"),
    (block("question", "name: q\ntext: Which?\noutcome:\n  recipe: r\n  metrik: loss"), 7, "metric"),
    (block("recipe", "name: r\nrecipe: micro\nafter: [q]"), 4, "Questions of this lesson"),
    (block("steps", "recipe: r"), 4, "Recipes of this lesson: there is none"),
    (block("compare", "models: [house-chat, $r]\nprompt: Hi"), 4, "recipe"),
    (block("claim", ""), 5, "no 'name'"),
    ("```recipe\nname: r", 4, "does not end"),
])
def test_a_mistake_is_named_with_its_line_and_what_is_allowed(body: str, line: int, words: str):
    with pytest.raises(StillhouseError) as raised:
        parsed(body)
    assert f"mine.md, line {line}:" in str(raised.value)
    assert words in str(raised.value)


@pytest.mark.parametrize(("text", "words"), [("# No head", "line 1"), ("---\ntitle: x", "does not end"), ("---\ntitel: x\n---", "title"),
                                             ("---\nminutes: 3\n---", "no 'title'")])
def test_the_head_is_checked(text: str, words: str):
    with pytest.raises(StillhouseError, match=words):
        parse_lesson(text, Path("mine.md"))


def test_a_folder_of_ones_own_adds_lessons_and_replaces_shipped_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "mine.md").write_text(HEAD + "text")
    (tmp_path / "temperature.md").write_text("---\ntitle: Hotter\norder: 1\n---\ntext")
    (tmp_path / "broken.md").write_text("nothing")
    monkeypatch.setenv("STILLHOUSE_LESSONS", str(tmp_path))
    found, problems = lessons.listed()
    assert {"mine": "Mine", "temperature": "Hotter"}.items() <= {lesson.slug: lesson.title for lesson in found}.items()
    assert "broken.md, line 1" in str(problems[0])
    assert lessons.lesson("temperature").title == "Hotter"
    for slug in ("../temperature", "nothing-here"):
        with pytest.raises(StillhouseError, match="no lesson"):
            lessons.lesson(slug)
    monkeypatch.setenv("STILLHOUSE_LESSONS", str(tmp_path / "gone"))
    assert "does not exist" in str(lessons.listed()[1][0])


def test_the_authors_guide_names_every_key():
    guide = (ROOT / "docs" / "lessons.md").read_text(encoding="utf-8")
    for name, kind in BLOCKS.items():
        assert f"## {name}" in guide
        assert all(f"`{key}`" in guide for key in kind.model_fields), name
