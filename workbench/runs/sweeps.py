"""A sweep from its recipe to its runs: check every setting, queue all runs or none, then stop, resume, retry and bin them together.

The runs are ordinary ones of the queue, seed by seed: after the first seed every setting has a value. Where the recipe keeps the teacher's
answers, settings that need the same ones wait for the first of them, which queries the teacher; the others read what it kept.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from core.config import ExperimentConfig
from core.config.fields import flattened
from core.errors import ConfigError, StillhouseError
from core.planning.preflight import require_disk
from core.recipes import REPETITION_KEYS
from core.studies.sweeps.cells import Cell, SweepSpec, cells_of, require_all, seeds_from
from core.studies.sweeps.ranking import CellScores
from workbench.errors import WrongStatusError
from workbench.launch.launcher import SlurmSpec, read_spec
from workbench.runs import jobs, submission
from workbench.store import Store, references
from workbench.store.records import ACTIVE, RESUMABLE, NewRun, Run, Status
from workbench.store.store import default_name
from workbench.store.sweeps import Sweep, SweepRun

if TYPE_CHECKING:
    from core.planning.requirements import Plan

KEPT = ("hidden", "top_k", "sampled")  # forms of a teacher's answers that one run can read after another
PENDING: tuple[Status, ...] = ("queued", *ACTIVE)


@dataclass(frozen=True)
class PlannedSweep:
    """A sweep whose settings are checked.

    Attributes:
        cells: those that will be trained, with frozen references.
        parents: of each cell, as `workbench.store.references.freeze_references` gives them.
        plans: of each cell, without measurements.
        errors: number of a setting -> why it cannot be trained; settings with an entry are in `all_cells` alone.
        place: where the runs are carried out; None for the queue of this machine.
    """

    spec: SweepSpec
    all_cells: tuple[Cell, ...]
    cells: tuple[Cell, ...]
    parents: Mapping[int, Mapping[str, str]]
    plans: Mapping[int, Plan]
    errors: Mapping[int, StillhouseError] = field(default_factory=dict)
    place: SlurmSpec | None = None

    @property
    def runs(self) -> int:
        """Runs that would be queued."""
        return len(self.cells) * len(self.spec.seeds)

    @property
    def disk_bytes(self) -> int:
        """What the folders of all runs grow to, as far as that is known."""
        return len(self.spec.seeds) * sum(self.plans[cell.number].disk_bytes or 0 for cell in self.cells)

    @property
    def left_out(self) -> list[dict[str, Any]]:
        """The settings that cannot be trained, as plain data."""
        return [{"cell": cell.label, "given": error.given, "expected": error.expected, "fix": error.advice}
                for cell in self.all_cells if (error := self.errors.get(cell.number)) is not None]


def plan_sweep(spec: SweepSpec, store: Store, *, skip_invalid: bool = False, place: SlurmSpec | None = None) -> PlannedSweep:
    """Check every setting as far as is known without loading anything. Nothing is written.

    Args:
        skip_invalid: leave out settings that cannot be trained, where another can.
        place: where the runs are carried out (default: in the queue of this machine).

    Raises:
        ConfigError: the sweep itself is wrong, or a setting cannot be trained and is not left out; the message says which.
        DiskFullError: each run would fit, and all of them would not.
    """
    cells = cells_of(spec)
    errors: dict[int, StillhouseError] = {cell.number: cell.error for cell in cells if cell.error is not None}
    good, parents, plans = [], {}, {}
    for cell in cells:
        if cell.config is None:
            continue
        try:
            frozen, parents[cell.number], plans[cell.number] = submission.checked(cell.config, store, place)
        except StillhouseError as error:
            errors[cell.number] = error
        else:
            good.append(replace(cell, config=frozen))
    if errors and (not skip_invalid or not good):
        require_all(cells, errors)
    planned = PlannedSweep(spec, tuple(cells), tuple(good), parents, plans, errors, place)
    if place is None or place.keeps_here:
        require_disk(planned.disk_bytes)
    return planned


def start_sweep(planned: PlannedSweep, store: Store, *, name: str | None = None, command: str = "",
                adopted: Sequence[Run] = ()) -> Sweep:
    """Queue every run of a sweep, or none of them.

    Args:
        name: of the sweep and the beginning of its runs' names (default: the recipe's, with ``-sweep``).
        adopted: finished runs of its only setting, as repetitions that are there already.

    Raises:
        StoreUnavailableError: the store cannot be written; nothing is queued then.
        LaunchError: the host that would submit them cannot be reached, or lacks what they need; nothing is queued then.
    """
    name = name or f"{(planned.spec.config.name or default_name(planned.spec.config))[:70]}-sweep"
    require_name(name)
    submission.require_ready(planned.place)
    new, cells = [], []
    first: dict[str, int] = {}
    for seed in planned.spec.seeds:
        for cell in planned.cells:
            assert cell.config is not None, "cells that cannot be trained are left out"
            number = f"-{cell.number}" if planned.spec.axes else ""
            config = cell.config.model_copy(update={"name": f"{name[:66]}{number}-s{seed}",
                                                    "train": cell.config.train.model_copy(update={"seed": seed})})
            signals = _signals_key(config)
            new.append(NewRun(config, None, planned.parents[cell.number], after=None if signals is None else first.get(signals),
                              launch=planned.place.model_dump(mode="json") if planned.place is not None else None))
            if signals is not None:
                first.setdefault(signals, len(new) - 1)
            cells.append(cell)
    made: list[str] = []

    def write(connection: Any, ids: list[str]) -> None:
        own = [(run_id, cell.number, cell.values, True) for run_id, cell in zip(ids, cells, strict=True)]
        others: list[tuple[str, int, Mapping[str, str], bool]] = [(run.id, 1, {}, False) for run in adopted]
        made.append(store.insert_sweep(connection, name, planned.spec, planned.left_out, command, [*own, *others]))

    store.create_runs(new, write)
    jobs.launch_next(store)
    return store.sweep(made[0])


def repeat(run: Run, more: int, store: Store) -> Sweep:
    """Queue a run's recipe with more seeds, where it was carried out itself, and take in its other finished runs, one a seed.

    Raises:
        StillhouseError: as `plan_sweep`.
    """
    config = references.duplicate(run, store)
    wanted = repetition_digest(run.config)
    there: dict[int, Run] = {run.seed: run} if run.status == "finished" else {}
    for other in store.runs(status="finished"):
        with suppress(ConfigError):  # of another release
            if repetition_digest(other.config) == wanted:
                there.setdefault(other.seed, other)
    free = (seed for seed in itertools.count(run.seed + 1) if seed not in there)
    seeds = tuple(itertools.islice(free, more)) if more > 0 else seeds_from(run.seed, more)
    planned = plan_sweep(SweepSpec(config, (), seeds), store, place=None if run.launch is None else read_spec(run.launch))
    return start_sweep(planned, store, name=f"{run.name[:70]}-seeds", adopted=[there[seed] for seed in sorted(there)])


def repetition_digest(config: ExperimentConfig) -> str:
    """Return what runs of one recipe have in common, whatever their seeds, names and devices."""
    return json.dumps({key: value for key, value in flattened(config.to_dict()).items() if key not in REPETITION_KEYS}, sort_keys=True)


def require_name(name: str) -> None:
    """Raise ConfigError for a name that a sweep cannot have."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", name):
        raise ConfigError(f"The sweep was given the name '{name}'.",
                          "1 to 80 letters, digits, dots, dashes and underscores were expected, beginning with a letter or digit.",
                          "Choose another name.", field="name")


def _signals_key(config: ExperimentConfig) -> str | None:
    """Return what runs have in common that read the same answers of a teacher; None where none are kept."""
    if config.teacher is None or not config.losses.needs_teacher():
        return None
    form = config.teacher.signals.form if config.teacher.address is None else "top_k"  # whatever the recipe says of it
    if form not in KEPT:
        return None
    temperature = None if form == "hidden" else config.losses.temperature  # states are the same at any
    return json.dumps([config.teacher.model_dump(mode="json"), config.data.model_dump(mode="json"), config.train.seed,
                       config.train.precision, temperature], sort_keys=True)


# ------------------------------------------------------------------------------------------------ what became of it


@dataclass(frozen=True)
class SweepProgress:
    """How far a sweep is.

    Attributes:
        counts: status -> runs.
        share: of its work that is done, 0 to 1: finished runs whole, those in training in part.
    """

    counts: Mapping[str, int]
    share: float

    @property
    def total(self) -> int:
        """All runs."""
        return sum(self.counts.values())

    @property
    def pending(self) -> int:
        """Runs that wait or train."""
        return sum(self.counts.get(status, 0) for status in PENDING)

    @property
    def status(self) -> Status:
        """The sweep's own status, in the words of its runs."""
        if self.pending:
            return "queued" if self.counts.get("queued", 0) == self.pending == self.total else "running"
        worst: tuple[Status, ...] = ("failed", "lost", "stopped")
        return next((status for status in worst if self.counts.get(status)), "finished" if self.total else "stopped")

    @property
    def text(self) -> str:
        """What it says of its runs."""
        parts = [f"{count} {status}" for status, count in self.counts.items() if status != "finished" and count]
        return ", ".join([f"{self.counts.get('finished', 0)} of {self.total} runs finished", *parts])


def progress_of(runs: Sequence[SweepRun]) -> SweepProgress:
    """Return how far the runs of a sweep are."""
    shares = [1.0 if each.run.status == "finished" else min(each.run.progress.share or 0.0, 1.0) if each.run.active else 0.0
              for each in runs]
    return SweepProgress(Counter(each.run.status for each in runs), sum(shares) / len(shares) if shares else 0.0)


def stop_all(sweep: Sweep, store: Store) -> int:
    """Stop every run of a sweep that waits or trains, those that wait first; returns how many. Those that train save a checkpoint."""
    jobs.reconcile(store)
    stopped = 0
    pending = [each.run for each in store.sweep_runs(sweep.id) if each.own and each.run.status in ("queued", "starting", "running")]
    for run in sorted(pending, key=lambda run: run.status != "queued"):
        try:
            store.request_stop(run.id)
            stopped += 1
        except WrongStatusError:
            continue  # it has ended since
    return stopped


def resume(sweep: Sweep, store: Store, statuses: Sequence[Status] = RESUMABLE) -> int:
    """Queue the runs of a sweep again that ended in one of these statuses; each continues from its checkpoint. Returns how many.

    Raises:
        WrongStatusError: there is none.
    """
    jobs.reconcile(store)
    queued = 0
    for each in store.sweep_runs(sweep.id):
        if each.own and each.run.status in statuses:
            try:
                store.requeue(each.run.id)
                queued += 1
            except WrongStatusError:
                continue  # somebody else was faster
    if not queued:
        raise WrongStatusError(f"No run of the sweep '{sweep.name}' is {' or '.join(statuses)}.",
                               "A run that ended so was expected.", "See its runs.")
    jobs.launch_next(store)
    return queued


def retry_failed(sweep: Sweep, store: Store) -> int:
    """Queue the failed and lost runs of a sweep again. Raises WrongStatusError if there is none."""
    return resume(sweep, store, ("failed", "lost"))


def purge(sweep: Sweep, store: Store) -> None:
    """Delete a sweep of the bin permanently, with its own runs and their folders. Raises WrongStatusError if it is not there."""
    if sweep.deleted is None:
        raise WrongStatusError(f"The sweep '{sweep.name}' is not in the bin.", "Only a deleted sweep can be purged.", "Delete it first.")
    for each in store.sweep_runs(sweep.id, include_deleted=True):
        if each.own and each.run.deleted is not None:
            store.purge(each.run.id)
    store.forget_sweep(sweep.id)


def scores_of(runs: Sequence[SweepRun], measured: Mapping[str, Mapping[str, Mapping[str, float]]], subject: str) -> list[CellScores]:
    """Return what the cells of a sweep reached, in their order; of two runs of a cell with one seed the later counts.

    Args:
        measured: run id -> subject -> metrics.
        subject: whose metrics count, as ``student_after``.
    """
    cells: dict[int, tuple[Mapping[str, str], int, dict[str, dict[int, float]]]] = {}
    for each in runs:
        chosen, count, metrics = cells.get(each.cell, (each.chosen, 0, {}))
        if each.run.status == "finished":
            for name, value in measured.get(each.run.id, {}).get(subject, {}).items():
                metrics.setdefault(name, {})[each.run.seed] = value
        cells[each.cell] = chosen or each.chosen, count + 1, metrics
    return [CellScores(number, chosen, count, metrics) for number, (chosen, count, metrics) in sorted(cells.items())]
