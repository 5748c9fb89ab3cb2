"""What is known of a run before it is queued: whether it can work, on this machine or as a job elsewhere, and what a submission sends."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.config import EnsembleConfig, ExperimentConfig
from core.errors import ConfigError, SetField, StillhouseError
from core.system import reach, units
from workbench.launch.copies import Copies
from workbench.launch.job import Job
from workbench.launch.launcher import SlurmSpec, read_spec
from workbench.launch.remote import RemoteSlurm
from workbench.launch.slurm import Slurm
from workbench.store import Store, references
from workbench.store.named_files import files_of
from workbench.store.records import ACTIVE, Run

if TYPE_CHECKING:
    from core.planning.requirements import Plan

OWNERS = ("setup", "extra", "python")  # of a launcher: what a job runs beside the run
ELSEWHERE = ("memory", "device", "processes", "sharding")  # checks of this machine


@dataclass(frozen=True)
class Preview:
    """What a submission sends.

    Attributes:
        copies: what is copied to a host first; None where the cluster sees this machine's folders.
        commands: that copy and submit, for a terminal; none where there is no host.
    """

    script: str
    copies: Copies | None
    commands: tuple[str, ...]


def checked(config: ExperimentConfig, store: Store, launch: SlurmSpec | None = None) -> tuple[ExperimentConfig, dict[str, str], Plan]:
    """Return the configuration with frozen references, its parents, and what is known at once of its needs.

    Raises:
        StillhouseError: a model cannot be used, or a check of the plan fails.
    """
    from core.planning.plan import static_plan

    if launch is not None:
        _require_shareable(config, launch)
    config, parents = references.freeze_references(config, store)
    waits = bool(store.runs(status=ACTIVE))  # what works now gives its memory back before this one starts
    plan = static_plan(references.resolved(config, store))
    for check in plan.checks:
        if launch is not None and check.name in ELSEWHERE:
            continue
        if not check.ok and not (waits and check.name == "memory"):
            raise StillhouseError(check.message, "", check.fix, field=check.field, suggestion=check.suggestion)
    return config, parents, plan


def _require_shareable(config: ExperimentConfig, launch: SlurmSpec) -> None:
    """Raise ConfigError if a job may not be submitted there, or its processes cannot share a run."""
    _require_allowed(launch)
    if config.train.processes != 1:
        raise ConfigError(f"train.processes is {config.train.processes}, and the run is a job elsewhere.",
                          "Its processes are those of the launcher: nodes times processes_per_node.", "Leave train.processes at one.",
                          suggestion=SetField("train.processes", 1))
    if config.train.sharding != "none" and launch.processes == 1:
        raise ConfigError(f"train.sharding is {config.train.sharding}, and the job has one process.",
                          "Weights are shared out among two processes or more.",
                          "Raise the launcher's nodes or processes_per_node, or keep the weights whole.",
                          suggestion=SetField("train.sharding", "none"))
    items = config.train.per_device_train_batch_size * config.train.gradient_accumulation_steps
    if isinstance(config, EnsembleConfig) and launch.processes > 1:
        raise ConfigError(f"The job has {launch.processes} processes.", "Networks of classifiers are small and trained in one.",
                          "Set the launcher's nodes and processes_per_node to 1.")
    if items < launch.processes:
        raise ConfigError(f"The job has {launch.processes} processes, and a step {units.counted(items, 'item')}.",
                          "At least one item for each process was expected.",
                          "Raise train.per_device_train_batch_size or train.gradient_accumulation_steps, or take fewer processes.",
                          field="train.per_device_train_batch_size")


def _require_allowed(launch: SlurmSpec | None) -> None:
    """Raise ConfigError where visitors submit what would run, or write, as the owner's account beyond what they may."""
    if launch is None or not reach.is_limited():
        return
    outside = reach.host_refusal(launch.host) if launch.host is not None else launch.folder and reach.refusal(launch.folder)
    if outside:
        raise ConfigError(*outside)
    if given := [name for name in OWNERS if getattr(launch, name) != SlurmSpec.model_fields[name].default]:
        raise ConfigError(f"The launcher's {' and '.join(given)} would act as the account of the app's owner.",
                          "Visitors choose the partition, size and time of a job.",
                          "Leave it out, or have the owner submit the run from the command line.")


def preview(config: ExperimentConfig, store: Store, launch: SlurmSpec) -> Preview:
    """Return what `submit` would send, without submitting anything or asking another machine. Raises as `submit` does."""
    config, parents, _ = checked(config, store, launch)
    job = Job(store.runs_dir / "RUN", config, references.places(config, parents, store), "", files_of(config))
    place = _launcher(launch, job.directory)
    if not isinstance(place, RemoteSlurm):
        return Preview(place.script(job), None, ())
    return Preview(place.script(job), place.copies(job), tuple(place.commands(job)))


def require_ready(launch: SlurmSpec | None) -> None:
    """Ask the host that submits jobs, where there is one, for what they need.

    Raises:
        ConfigError: a host that the one who asks may not use (`core.system.reach`).
        LaunchError: it cannot be reached, or lacks something.
    """
    _require_allowed(launch)
    if launch is not None and isinstance(place := _launcher(launch, Path("run")), RemoteSlurm):
        place.require_ready()


def launcher_of(run: Run) -> Slurm | None:
    """Return where a run is carried out; None for this machine."""
    return _launcher(read_spec(run.launch), run.directory) if run.launch is not None else None


def _launcher(spec: SlurmSpec, directory: Path) -> Slurm:
    return Slurm(spec) if spec.host is None else RemoteSlurm(spec, directory)
