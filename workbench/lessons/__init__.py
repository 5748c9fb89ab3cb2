"""Lessons: Markdown with live blocks, those that ship and those of a folder of one's own."""

from __future__ import annotations

import functools
import os
from pathlib import Path

from core.errors import StillhouseError
from core.system.paths import ASSETS
from workbench import settings
from workbench.errors import LessonError
from workbench.lessons.parser import Lesson, read_lesson

SHIPPED = ASSETS / "lessons"


def folders() -> list[Path]:
    """Return the folders in which lessons are looked for: a lesson of one's own goes before one of the same name that ships."""
    own = settings.LESSONS.read()
    return [*([Path(os.path.expanduser(own)).absolute()] if own else []), SHIPPED]


def listed() -> tuple[list[Lesson], list[StillhouseError]]:
    """Return all lessons in their order, and what is wrong with those that cannot be read."""
    found: dict[str, Lesson] = {}
    problems: list[StillhouseError] = []
    for folder in folders():
        if not folder.is_dir():
            problems.append(LessonError(f"The folder of lessons {folder} does not exist.", "A folder with Markdown files was expected.",
                                        f"Make it, or change {settings.LESSONS.variable}."))
            continue
        for path in sorted(folder.glob("*.md")):
            try:
                lesson = _read(path, path.stat().st_mtime_ns)
            except StillhouseError as error:
                problems.append(error)
                continue
            found.setdefault(lesson.slug, lesson)
    return sorted(found.values(), key=lambda lesson: (lesson.head.order, lesson.slug)), problems


def lesson(slug: str) -> Lesson:
    """Return a lesson by its slug. Raises LessonError for one that does not exist, or cannot be read."""
    for folder in folders():
        path = folder / f"{slug}.md"
        if Path(slug).name == slug and path.is_file():  # an address names no other folder
            return _read(path, path.stat().st_mtime_ns)
    raise LessonError(f"There is no lesson '{slug}'.", "Lessons here: " + ", ".join(each.slug for each in listed()[0]) + ".")


@functools.lru_cache(maxsize=100)
def _read(path: Path, _changed: int) -> Lesson:
    """Read a lesson once for each change of its file."""
    return read_lesson(path)
