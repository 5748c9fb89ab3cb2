"""How long a sweep will take: one measured setting, carried over to the others by the work that each asks of the processor.

The work of a run is counted as 2 operations for each parameter and token of a forward pass and 6 of a training step (2001.08361, section
2.1). Small models take longer than their count says, so that the estimate is rough where the settings differ much in size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from core.config import ExperimentConfig
from core.config.fields import flattened
from core.errors import StillhouseError
from core.planning.plan import static_plan
from core.planning.requirements import Plan
from core.recipes import REPETITION_KEYS
from workbench.runs import slots
from workbench.runs.sweeps import PENDING, PlannedSweep
from workbench.store import Store, references
from workbench.store.sweeps import SweepRun

FORWARD, STEP = 2, 6  # operations for each parameter and token
START_SECONDS = 8.0  # of a process: importing the libraries, loading the models, saving the student
RECENT = 200  # earlier runs that are looked through


@dataclass(frozen=True)
class SweepTime:
    """The expected time of a sweep.

    Attributes:
        seconds: from the start to the end, with so many runs at once as there are devices; None where nothing is known.
        source: what it is taken from.
        at_once: runs that train at the same time.
        ahead: runs that wait or train already, and come first.
    """

    seconds: float | None
    source: Literal["earlier run", "measured", "finished runs", ""]
    at_once: int
    ahead: int


def expected_time(planned: PlannedSweep, store: Store, measured: float | None = None) -> SweepTime:
    """Return the expected time of all runs.

    Args:
        measured: seconds of one run of the first setting (`core.planning.plan.plan`); without it, an earlier run of this recipe is looked
            for, whatever its seed and the values of the keys that vary.
    """
    configs = [cell.config for cell in planned.cells if cell.config is not None]
    ahead = len(store.runs(status=PENDING))
    at_once = max(1, len(slots.visible_gpus())) if configs and configs[0].train.device in ("auto", "cuda") else 1
    work = [work_of(cell.config, planned.plans[cell.number]) for cell in planned.cells if cell.config is not None]
    source: Literal["earlier run", "measured", ""] = "measured" if measured else ""
    scale, start = measured / work[0] if measured and work and work[0] else None, START_SECONDS
    if scale is None and (found := _earlier(planned, store)) is not None:
        scale, source, start = found, "earlier run", 0.0
    if scale is None or not all(work):
        return SweepTime(None, "", at_once, ahead)
    seconds = sum(start + scale * each for each in work if each) * len(planned.spec.seeds)
    return SweepTime(seconds / at_once, source, at_once, ahead)


def seconds_left(runs: Sequence[SweepRun]) -> float | None:
    """Return the seconds until the last run of a sweep ends, by those of it that have finished; None before the first has."""
    took = [seconds for each in runs if each.run.status == "finished" and each.own and (seconds := each.run.seconds) is not None]
    if not took:
        return None
    pending = [1.0 - (each.run.progress.share or 0.0) for each in runs if each.run.status in PENDING]
    at_once = max(1, sum(each.run.active for each in runs))
    return sum(took) / len(took) * sum(pending) / at_once


def work_of(config: ExperimentConfig, plan: Plan) -> float | None:
    """Return the operations of a run's training; None where the size of its models is not known.

    A recipe that counts epochs has those of one token an epoch: settings that read the same text compare all the same.
    """
    if plan.student is None or not plan.student.parameters:
        return None
    tokens = plan.total_steps * plan.tokens_per_step if plan.total_steps else config.train.num_train_epochs
    teacher = FORWARD * plan.teacher.parameters if plan.teacher is not None and plan.teacher.parameters else 0
    variants = 2 if config.control else 1
    return float(tokens * (teacher + variants * STEP * plan.student.parameters))


def _earlier(planned: PlannedSweep, store: Store) -> float | None:
    """Return seconds an operation of the newest finished run of this recipe; None where there is none."""
    varying = (*(axis.key for axis in planned.spec.axes), *REPETITION_KEYS)
    wanted = _without(planned.cells[0].config, varying)
    for run in store.runs(status="finished", limit=RECENT):
        if not run.seconds:
            continue
        try:
            if _without(run.config, varying) != wanted:
                continue
            work = work_of(run.config, static_plan(references.resolved(run.config, store)))
        except StillhouseError:  # of another release, or its models are gone
            continue
        if work:
            return run.seconds / work
    return None


def _without(config: ExperimentConfig | None, varying: Sequence[str]) -> Mapping[str, object] | None:
    """Return a recipe as dotted keys, without some of them and what lies in them."""
    if config is None:
        return None
    return {key: value for key, value in flattened(config.to_dict()).items()
            if not any(key == each or key.startswith(f"{each}.") for each in varying)}
