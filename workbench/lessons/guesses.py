"""What the reader of a lesson guessed and ran, on a machine without a class: one file of the home folder.

    <home>/lessons.json     {"guesses": {"slug/question": ...}, "runs": {"slug/recipe/label": run id}, "last": slug}
"""

from __future__ import annotations

from typing import Any

from filelock import FileLock

from core.system.files import read_json, write_json
from workbench import paths


def _state() -> dict[str, Any]:
    found = read_json(paths.lessons_path())
    return found if isinstance(found, dict) else {}


def _write(section: str, key: str, value: Any) -> None:
    path = paths.lessons_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        found = _state()
        part = dict(found.get(section) or {})
        if value is None:
            part.pop(key, None)
        else:
            part[key] = value
        write_json(path, found | {section: part})


def guess(lesson: str, question: str) -> str | float | None:
    """Return what was guessed; None where nothing was yet."""
    return (_state().get("guesses") or {}).get(f"{lesson}/{question}")


def commit(lesson: str, question: str, value: str | float) -> None:
    """Keep a guess."""
    _write("guesses", f"{lesson}/{question}", value)


def note_run(lesson: str, recipe: str, label: str, run_id: str) -> None:
    """Keep which run a recipe block started last."""
    _write("runs", f"{lesson}/{recipe}/{label}", run_id)


def run_id(lesson: str, recipe: str, label: str) -> str | None:
    """Return the id of the run that a recipe block started last."""
    return (_state().get("runs") or {}).get(f"{lesson}/{recipe}/{label}")


def opened(lesson: str) -> None:
    """Remember that a lesson was opened."""
    if last() != lesson:
        _write("last", "lesson", lesson)


def last() -> str | None:
    """Return the lesson that was opened last."""
    return (_state().get("last") or {}).get("lesson")


def start_over(lesson: str) -> dict[str, Any]:
    """Forget the guesses and runs of a lesson, and return what they were, for `put_back`; the runs themselves stay."""
    before = _state()
    path = paths.lessons_path()
    with FileLock(path.with_suffix(".lock")):
        found = _state()
        for section in ("guesses", "runs"):
            found[section] = {key: value for key, value in (found.get(section) or {}).items() if not key.startswith(f"{lesson}/")}
        write_json(path, found)
    return before


def put_back(lesson: str, before: dict[str, Any]) -> None:
    """Undo `start_over`."""
    for section in ("guesses", "runs"):
        for key, value in (before.get(section) or {}).items():
            if key.startswith(f"{lesson}/"):
                _write(section, key, value)
