"""What the board of a class shows, as tables: guesses against outcomes, runs as points, the leaderboard under a budget."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from core.events import Evaluation
from core.metrics import METRICS
from core.reports.run_report import RunReport
from workbench.classroom import store as class_store
from workbench.classroom.records import Item, Participant
from workbench.classroom.store import ClassStore
from workbench.lessons import experiments
from workbench.lessons.blocks import Question, Recipe
from workbench.lessons.experiments import Measured
from workbench.lessons.parser import Lesson
from workbench.store import Store
from workbench.store.records import Run

LOOK_SECONDS = 1.0  # between two looks at the runs, however many watch
QUALITIES = ("eval/perplexity", "eval/kl_to_teacher", "eval/agreement", "eval/masked_accuracy")


@dataclass(frozen=True)
class Tally:
    """The guesses of a class at one question, and what came out.

    Attributes:
        guesses: of options: option -> count, all options, in their order; empty for a number.
        numbers: the guessed numbers.
        outcomes: of options: right option -> runs in which it came out right.
        values: the measured numbers.
    """

    question: Question
    guesses: dict[str, int]
    numbers: list[float]
    outcomes: dict[str, int]
    values: list[float]

    @property
    def count(self) -> int:
        """Return the number of guesses."""
        return sum(self.guesses.values()) or len(self.numbers)


class Board:
    """A class and its runs, read once for one look. Threads may share it.

    Args:
        room: the class.
        store: of its runs.
        before: an earlier look, whose finished runs are not read again.
    """

    def __init__(self, room: ClassStore, store: Store, before: Board | None = None) -> None:
        self.room, self._store = room, store
        self._lock = threading.RLock()
        self._tallies: dict[str, tuple[Lesson, list[Tally]]] = {}
        self._points: pd.DataFrame | None = None
        self.people: dict[str, Participant] = {each.id: each for each in room.participants()}
        self.items: list[Item] = room.items()
        wanted = set(room.run_ids())
        self.runs: dict[str, Run] = {run.id: run for run in store.runs() if run.id in wanted}
        ended = {run_id for run_id, run in self.runs.items() if run.status == "finished"}
        self._measured: dict[str, Measured] = _of(ended, before._measured) if before is not None else {}
        self._reports: dict[str, Mapping[str, Any]] = _of(ended, before._reports) if before is not None else {}

    def measured(self, run_id: str) -> Measured:
        """Return subject -> metrics of a run."""
        with self._lock:
            if run_id not in self._measured:
                found = [Evaluation.from_dict(event.payload) for event in self._store.events(run_id, kind=Evaluation.kind)]
                self._measured[run_id] = {each.subject: each.metrics for each in found if each.anchor is None}
            return self._measured[run_id]

    def _report(self, run_id: str) -> Mapping[str, Any]:
        """Return the report of a run that has finished; empty where it has none."""
        if run_id not in self._reports:
            reports = self._store.events(run_id, kind=RunReport.kind)
            self._reports[run_id] = reports[-1].payload if reports else {}
        return self._reports[run_id]

    def tallies(self, lesson: Lesson) -> list[Tally]:
        """Return the guesses and outcomes of each question of a lesson."""
        with self._lock:
            kept = self._tallies.get(lesson.slug)
            if kept is None or kept[0] is not lesson:
                kept = self._tallies[lesson.slug] = lesson, self._tallied(lesson)
            return kept[1]

    def _tallied(self, lesson: Lesson) -> list[Tally]:
        guesses = self.room.guesses(lesson.slug)
        recipes: Mapping[str, Recipe] = {block.name: block for block in lesson.of(Recipe)}
        found = []
        for question in lesson.of(Question):
            given = [guess.value for guess in guesses if guess.question == question.name and guess.participant in self.people]
            counts = Counter(value for value in given if isinstance(value, str))
            numbers = [float(value) for value in given if isinstance(value, (int, float))]
            outcomes, values = self._outcomes(lesson, question, recipes)
            found.append(Tally(question, {option: counts[option] for option in question.options}, numbers, outcomes, values))
        return found

    def _outcomes(self, lesson: Lesson, question: Question, recipes: Mapping[str, Recipe]) -> tuple[dict[str, int], list[float]]:
        if question.outcome is None:
            return ({question.answer: 1}, []) if isinstance(question.answer, str) else ({}, [float(question.answer or 0)])
        wanted = experiments.labels(recipes[question.outcome.recipe])
        outcomes: Counter[str] = Counter()
        values: list[float] = []
        seen: set[tuple[str, ...]] = set()
        for participant in self.people:
            latest = {item.label: item.run_id for item in self.items if item.participant == participant and item.run_id is not None
                      and (item.lesson, item.recipe) == (lesson.slug, question.outcome.recipe)}
            ids = tuple(latest.get(label) or "" for label in wanted)
            if "" in ids or ids in seen:
                continue
            seen.add(ids)  # runs that are shared count once
            measured = {label: self.measured(run_id) for label, run_id in zip(wanted, ids, strict=True)}
            if question.options:
                right = experiments.right_option(question, measured)
                outcomes.update([right] if right is not None else [])
            else:
                value = experiments.value_of(next(iter(measured.values())), question.outcome)
                values += [value] if value is not None else []
        return dict(outcomes), values

    def points(self) -> pd.DataFrame:
        """Return one row for each finished run of each participant: who, lesson, label, temperature, size, seconds and qualities."""
        with self._lock:
            if self._points is None:
                self._points = self._pointed()
            return self._points

    def _pointed(self) -> pd.DataFrame:
        rows: list[dict[str, Any]] = []
        for item in self.items:
            run = self.runs.get(item.run_id or "")
            if run is None or run.status != "finished" or item.participant not in self.people:
                continue
            after = self.measured(run.id).get("student_after", {})
            report = self._report(run.id)
            config = json.loads(run.config_json)
            rows.append({"nickname": self.people[item.participant].nickname, "lesson": item.lesson, "run": item.label or run.name,
                         "temperature": config.get("losses", {}).get("temperature"), "steps": config["train"].get("max_steps"),
                         "parameters": (report.get("student") or {}).get("parameters"), "seconds": report.get("seconds"),
                         "seed": run.seed, "run id": run.id,
                         **{name: after.get(name.removeprefix("eval/")) for name in QUALITIES}})
        columns = ["nickname", "lesson", "run", "temperature", "steps", "parameters", "seconds", "seed", "run id", *QUALITIES]
        return pd.DataFrame(rows, columns=columns)


_shared: dict[tuple[str, Path], tuple[object, float, Board]] = {}
_sharing = threading.Lock()


def shared_board(room: ClassStore, store: Store) -> Board:
    """Return the board as it is now, read once for all who look: at most once a second, and at once when the class has changed.

    Thirty browsers that poll would else read every run of the class thirty times as often.
    """
    key = room.id, store.path
    with _sharing:
        state, now = class_store.state(room.id), time.monotonic()
        seen, read_at, board = _shared.get(key, (None, 0.0, None))
        if board is None or seen != state or now - read_at > LOOK_SECONDS:
            _shared.clear()  # an app holds one class
            board = Board(room, store, board)
            _shared[key] = state, now, board
        return board


def _of(ids: Collection[str], known: Mapping[str, Any]) -> dict[str, Any]:
    return {run_id: known[run_id] for run_id in ids if run_id in known}


def leaderboard(points: pd.DataFrame, metric: str, *, most_parameters: float | None = None,
                most_seconds: float | None = None) -> pd.DataFrame:
    """Return each participant's best run within a budget, the best first.

    Args:
        metric: of `QUALITIES`.
        most_parameters, most_seconds: what a run may have, or have taken; None for any.
    """
    within = points.dropna(subset=[metric])
    if most_parameters is not None:
        within = within[within["parameters"] <= most_parameters]
    if most_seconds is not None:
        within = within[within["seconds"] <= most_seconds]
    ranked = within.sort_values(metric, ascending=METRICS[metric].better == "lower", kind="stable")
    return ranked.drop_duplicates("nickname").reset_index(drop=True)
