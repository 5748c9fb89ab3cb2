"""Who reads a lesson: somebody alone at their own machine, or a participant of a class. Pages ask the reader, not the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from core.config import ExperimentConfig
from workbench import lessons
from workbench.lessons import experiments, guesses
from workbench.runs import jobs
from workbench.screens.shared import share, state
from workbench.sharing import restrictions
from workbench.store.records import Run


@dataclass(frozen=True, slots=True)
class LessonRun:
    """A run of a lesson's recipe.

    Attributes:
        run: None while it waits for its place in the queue of a class.
        waiting: what it waits for, as a sentence; empty once it has started.
        shared: whether an equal recipe of somebody else was computed already.
    """

    run: Run | None
    waiting: str = ""
    shared: bool = False

    @property
    def lives(self) -> bool:
        """Return whether there is more to come."""
        return self.run is None or state.lives(self.run)


class Reader(Protocol):
    """What a lesson needs of its reader."""

    may_open_runs: bool
    may_start_over: bool

    def locked(self) -> tuple[str, ...]:
        """Return the keys of recipes that an instructor has fixed: shown, not movable."""

    def guess(self, lesson: str, question: str) -> str | float | None:
        """Return what was guessed; None where nothing was yet."""

    def commit(self, lesson: str, question: str, value: str | float) -> None:
        """Keep a guess."""

    def start(self, lesson: str, recipe: str, runs: dict[str, ExperimentConfig]) -> None:
        """Start the runs of a recipe block, by label. Raises StillhouseError."""

    def runs(self, lesson: str, recipe: str, labels: list[str]) -> dict[str, LessonRun]:
        """Return the latest runs of a recipe block, by label, those that were started."""

    def opened(self, lesson: str) -> None:
        """Note that a lesson was opened."""


class Alone:
    """The reader at their own machine."""

    may_open_runs = True
    may_start_over = True

    def locked(self) -> tuple[str, ...]:
        """Return the keys of recipes that a link fixes which this session followed."""
        return share.fixed().paths

    def guess(self, lesson: str, question: str) -> str | float | None:
        """Return what was guessed."""
        return guesses.guess(lesson, question)

    def commit(self, lesson: str, question: str, value: str | float) -> None:
        """Keep a guess."""
        guesses.commit(lesson, question, value)

    def start(self, lesson: str, recipe: str, runs: dict[str, ExperimentConfig]) -> None:
        """Queue the runs. Raises StillhouseError, for one that a link does not allow too."""
        fixed = share.fixed()
        linked = experiments.of_lesson(lessons.lesson(lesson), recipe) if fixed else {}
        for label, config in runs.items():
            restrictions.check(config, fixed, linked.get(label))
        for label, config in runs.items():
            guesses.note_run(lesson, recipe, label, jobs.submit(config, state.store()).id)

    def runs(self, lesson: str, recipe: str, labels: list[str]) -> dict[str, LessonRun]:
        """Return the latest runs of a recipe block that are still there."""
        kept = {label: guesses.run_id(lesson, recipe, label) for label in labels}
        found = {run.id: run for run in state.store().runs()} if any(kept.values()) else {}
        queue = [run.id for run in state.store().queue()] if found else []
        return {label: LessonRun(found[run_id], f"Waits: {queue.index(run_id) + 1} in the queue." if run_id in queue else "")
                for label, run_id in kept.items() if run_id in found}

    def opened(self, lesson: str) -> None:
        """Note that a lesson was opened."""
        guesses.opened(lesson)
