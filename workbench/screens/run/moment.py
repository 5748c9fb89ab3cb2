"""A run at one moment, as its page shows it: numbers, figures by name, and versions of its parts; worked out once for all who look."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from core.recorder import STUDENT
from workbench.screens.shared import charts, results
from workbench.screens.shared.curves import CURVES
from workbench.screens.shared.live_plotly import Drawn, draw
from workbench.screens.shared.run_cache import RunCache
from workbench.store import Store
from workbench.store.records import ACTIVE, Run

EVALUATIONS = ("eval/perplexity", "eval/kl_to_teacher", "eval/agreement")
OF_BLANKS = ("eval/masked_accuracy", *EVALUATIONS)  # of masked language models
TASK_EVALUATIONS = ("eval/accuracy", "eval/exact_match", "eval/answer_f1", "eval/matthews", "eval/f1")  # those that the task has
SERVED = ("teacher/latency", "teacher/tokens", "teacher/retries")  # of a teacher that a server answers for
MACHINE = ("learning_rate", "tokens_per_second", "memory_gib")
WEIGHTED, RAW = "weighted", "raw"

# Names of the feed beside those of figures.
TERMS = "terms"  # a line of text: the terms of the last step
NUMBERS = "numbers"  # version of all that is said in words and grows with every step
STATE = "state"  # version of the rest: what the run is, and what there is of it
LOG = "log"  # version of the log file


def loss_figure(terms: str, *, logarithmic: bool) -> str:
    """Return the name of the figure of the loss terms."""
    return f"loss {terms} {'logarithmic' if logarithmic else 'linear'}"


LOSS_FIGURES = {loss_figure(terms, logarithmic=logarithmic): (terms == WEIGHTED, logarithmic)
                for terms in (WEIGHTED, RAW) for logarithmic in (False, True)}
FIGURES = frozenset({*LOSS_FIGURES, *OF_BLANKS, *TASK_EVALUATIONS, *MACHINE, *SERVED})
NAMES = FIGURES | {TERMS, NUMBERS, STATE, LOG}  # what a page may follow


class _Shared:
    """What was worked out of one run, with what it was worked out from."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a figure asks for the measurements while it is drawn
        self._kept: dict[str, tuple[Any, Any]] = {}

    def of(self, name: str, source: Any, work_out: Callable[[], Any]) -> Any:
        """Return what has this name, worked out again only if its source is another one."""
        with self._lock:
            kept = self._kept.get(name)
            if kept is None or kept[0] != source:
                kept = self._kept[name] = source, work_out()
            return kept[1]


SHARED = RunCache(_Shared, kept=24)  # seven figures of 100 KB each


@dataclass(frozen=True, slots=True)
class Ends:
    """The first and the last number of a curve, with their steps."""

    first_step: int
    first: float
    last_step: int
    last: float


@dataclass(frozen=True)
class Moment:
    """One run as the store has it now.

    Attributes:
        table, lines: its numbers, see `curves.Curves`.
        revisions: metric -> what grows with every number of it.
        last_event: what grows with every event of the run.
    """

    store: Store
    run: Run
    table: pd.DataFrame
    revisions: dict[str, int]
    lines: charts.Lines
    last_event: int

    @property
    def measured(self) -> results.Measurements:
        """Subject -> metrics, as `results.measurements`."""
        return self._shared("measured", self.last_event, lambda: results.measurements(self.store, self.run))

    @property
    def masked(self) -> bool:
        """Whether the run's models are masked language models."""
        return results.is_masked(self.measured)

    @property
    def task(self) -> tuple[str, ...]:
        """The held-out metrics of a labelled task; empty where there is none."""
        return tuple(name for name in TASK_EVALUATIONS if self.ends(name) is not None)

    def ends(self, name: str) -> Ends | None:
        """Return the student's first and last number of a metric; None where there is none."""
        curve = self.lines.get((STUDENT, name))
        if curve is None:
            return None
        first, last = ((int(curve.steps[place]), float(curve.values[place])) for place in (0, -1))
        return Ends(*first, *last)

    def figure(self, name: str) -> Drawn:
        """Return a figure of `FIGURES`, drawn once for each change of its metrics."""
        of_loss = name in LOSS_FIGURES
        revision = max((last for metric, last in self.revisions.items()
                        if (metric.startswith(("loss", "raw/")) if of_loss else metric == name)), default=0)
        key = f"{'loss' if of_loss else name}.{self.run.id}"
        return self._shared(name, (revision, self.masked, self.task, self._level(name), self._ahead), lambda: draw(self._figure(name), key))

    @property
    def terms(self) -> str:
        """The student's loss at its last step in words, as `results.terms_now`; empty where that has nothing to say."""
        def words() -> str:
            now = results.terms_now(self.lines, masked=self.masked)
            return f"At the last step: {now}." if now else ""

        return self._shared(TERMS, self.last_row, words)

    @property
    def last_row(self) -> int:
        """What grows with every number of the run."""
        return max(self.revisions.values(), default=0)

    def version(self, name: str) -> str:
        """Return what changes with a part of the page: `NUMBERS`, `STATE` or `LOG`."""
        run = self.run
        if name == LOG:
            try:
                status = run.log_path.stat()
            except FileNotFoundError:
                return "none"
            return f"{status.st_size} {status.st_mtime_ns}"
        state = (run.status, run.name, run.message, run.hint, run.deleted, run.started, run.finished, run.stop_requested, self.last_event,
                 sorted(self.revisions))
        before = (self.store.queue(), self.store.runs(status=ACTIVE)) if run.status == "queued" else ()
        numbers = (run.progress, self.last_row, [[each.id for each in runs] for runs in before])
        # Before the first step the page also says in other places what the run is doing.
        return _digest((state, numbers) if name == NUMBERS or not self.revisions else state)

    def _level(self, name: str) -> float | None:
        """Return the teacher's value of a metric, drawn as a line; None where there is none."""
        shown = name in self.task or name in ("eval/perplexity", "eval/masked_accuracy")
        return self.measured.get("teacher", {}).get(name.removeprefix("eval/")) if shown else None

    @property
    def _ahead(self) -> charts.Ahead:
        """What the figures keep a place for while the run is active."""
        run = self.run
        return charts.Ahead(results.has_control(run), run.progress.total) if run.active and not run.builds_chain else charts.NOTHING_AHEAD

    def _figure(self, name: str) -> charts.Plain:
        if name in LOSS_FIGURES:
            weighted, logarithmic = LOSS_FIGURES[name]
            return charts.term_losses(self.lines, weighted=weighted, logarithmic=logarithmic, masked=self.masked,
                                      per="item" if self.task else "token", ahead=self._ahead)
        if name in (*MACHINE, *SERVED):
            return charts.single(self.lines, name)
        return charts.evaluation(self.lines, name, teacher=self._level(name), masked=self.masked, ahead=self._ahead)

    def _shared(self, name: str, source: Any, work_out: Callable[[], Any]) -> Any:
        return SHARED.of(self.store, self.run.id).of(name, source, work_out)


def look(store: Store, run_id: str) -> Moment:
    """Look at a run as it is now. Raises RunNotFoundError."""
    run = store.run(run_id)
    last_event = store.last_event(run.id)
    table, revisions, lines = CURVES.of(store, run.id).look(store, run.id)
    return Moment(store, run, table, revisions, lines, last_event)


def _digest(value: Any) -> str:
    return hashlib.blake2b(repr(value).encode(), digest_size=9).hexdigest()
