"""Where the processes of a run are started: five verbs, and what each place needs to know.

    local    several processes of this machine                             `workbench.launch.local`
    slurm    a job of a SLURM cluster                                      `workbench.launch.slurm`
             the same on a host that shares no folder with this machine    `workbench.launch.remote`

A worker of this machine submits the run, reads what rank 0 records in the run's folder, and ends when the job does
(`workbench.launch.watching`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from core.config.base import MAX_PROCESSES, Config
from core.errors import ConfigError
from workbench.launch import host
from workbench.launch.job import Job

Progress = Callable[[str], None]  # takes what is being done, in a sentence; it may raise to end it
State = Literal["waiting", "running", "ended"]


@dataclass(frozen=True, slots=True)
class JobStatus:
    """How a job is.

    Attributes:
        state: what the watching worker does about it.
        text: in the words of the place, as ``PENDING (Resources)``.
        failure: why it ended without a report, as far as the place knows; empty for a job that was cancelled.
        cancelled: whether somebody ended it on purpose.
    """

    state: State
    text: str
    failure: str = ""
    cancelled: bool = False


class Launcher(Protocol):
    """A place where runs are carried out. Job ids mean something to it alone, also to a later process.

    Attributes:
        outlives: whether a job continues where the process that watches it ends, and a later one may watch it again.
        poll: seconds between two looks at a job.
        patience: seconds that it may not answer before the run counts as failed.
    """

    @property
    def outlives(self) -> bool:
        """Return whether it does."""

    @property
    def poll(self) -> float:
        """Return the seconds."""

    @property
    def patience(self) -> float:
        """Return the seconds."""

    def submit(self, job: Job, on_progress: Progress) -> str:
        """Start the processes of a run, or queue them; return the id of the job.

        Raises:
            LaunchError: it was refused; nothing is submitted then.
        """

    def status(self, job_id: str) -> JobStatus:
        """Return how a job is. Raises LaunchError where that cannot be known now."""

    def sync(self, on_progress: Progress, *, ended: bool = False) -> str:
        """Exchange what this machine and the place have written of the run; nothing where both see one folder.

        Args:
            ended: whether nothing runs any more: then everything has to be here when this returns.

        Returns:
            What the user should know of it; empty where all is as it should be.

        Raises:
            LaunchError: it cannot be done now. Calling it again continues.
        """

    def cancel(self, job_id: str) -> None:
        """End a job, whatever it is doing; nothing where it has ended."""

    def log(self, job_id: str) -> str:
        """Return the end of what it printed that is not in the run's own log."""


class SlurmSpec(Config):
    """What is said to a SLURM cluster of a job; the names are those of sbatch."""

    launcher: Literal["slurm"] = Field("slurm", description="place; a SLURM cluster")
    partition: str | None = Field(None, description="name; of the partition (default: the cluster's own)")
    nodes: int = Field(1, ge=1, le=MAX_PROCESSES, description="machines; that the run takes")
    processes_per_node: int = Field(1, ge=1, le=MAX_PROCESSES, description="processes; on each machine, one for each of its GPUs")
    gpus_per_node: int = Field(0, ge=0, le=MAX_PROCESSES, description="GPUs; of each machine (0: it computes on processors)")
    cpus_per_task: int = Field(1, ge=1, le=MAX_PROCESSES, description="cores; of each process")
    memory_gib: Annotated[float, Field(gt=0, le=1e6)] | None = Field(None, description=(
        "GiB; of memory on each machine (default: the cluster's own)"))
    minutes: int = Field(60, ge=1, le=10**6, description="minutes; after which the job saves a checkpoint and queues again")
    warning_seconds: int = Field(90, ge=1, le=10**5, description="seconds; before that limit, for the checkpoint")
    account: str | None = Field(None, description="name; that the job is charged to")
    folder: str | None = Field(None, description=(
        "path; where run folders lie, shared by all machines of the cluster (default: the home folder). With a host, a folder there"))
    host: str | None = Field(None, description=(
        "name; of the machine that submits jobs, as ssh knows it, where this one does not or shares no folder with the cluster. "
        "Data, models and checkpoints are copied there, results back (default: this machine)"))
    python: str | None = Field(None, description=(
        "path; of the Python of the cluster that has this release of Stillhouse (default: this one; on a host python3)"))
    sync_seconds: int = Field(15, ge=1, le=3600, description="seconds; between two looks at a host, each of which connects twice")
    setup: tuple[str, ...] = Field((), max_length=100, description="lines; of the shell that each job begins with, as module load cuda")
    extra: dict[str, str | int] = Field({}, description="options; further ones of sbatch, as constraint: a100")

    @field_validator("extra")
    @classmethod
    def _plain_options(cls, value: dict[str, str | int]) -> dict[str, str | int]:
        for name, given in value.items():
            if not name.replace("-", "").replace("_", "").isalnum() or "\n" in str(given):
                raise ValueError(f"{name!r} is no option of sbatch: write constraint: a100 for --constraint=a100")
        return value

    @field_validator("partition", "account", "folder", "python")
    @classmethod
    def _one_line(cls, value: str | None) -> str | None:
        if value is not None and not value.isprintable():
            raise ValueError(f"{value[:40]!r} has a line break or another character that is not printed")
        return value

    @field_validator("host")
    @classmethod
    def _one_name(cls, value: str | None) -> str | None:
        if value is not None and not host.NAME.fullmatch(value):
            raise ValueError(f"{value!r} is no host of ssh: write name or user@name, and anything else in ~/.ssh/config")
        return value

    @model_validator(mode="after")
    def _folder_there(self) -> Self:
        if self.host is not None and not (self.folder or "").startswith("/"):
            raise ValueError(f"folder is {self.folder!r}, and the run is copied to {self.host}: set folder to a path there from the root "
                             "on, as /scratch/me/stillhouse")
        return self

    @model_validator(mode="after")
    def _time_for_a_checkpoint(self) -> Self:
        if 60 * self.minutes <= self.warning_seconds + 60:  # SLURM may send the signal a minute early
            raise ValueError(f"minutes is {self.minutes}, and warning_seconds {self.warning_seconds}: no time is left to train in; "
                             "set minutes to more")
        return self

    @property
    def processes(self) -> int:
        """Of the whole job."""
        return self.nodes * self.processes_per_node

    @property
    def keeps_here(self) -> bool:
        """Whether run folders lie on the disk of the home folder."""
        return self.folder is None or self.host is not None


def read_spec(plain: Mapping[str, Any]) -> SlurmSpec:
    """Return the settings of a launcher. Raises ConfigError, which names the setting."""
    try:
        return SlurmSpec(**plain)
    except ValidationError as error:
        first = error.errors()[0]
        name = next((str(part) for part in first["loc"] if part in SlurmSpec.model_fields), "")
        said = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"The launcher's setting {name} was given as {first.get('input')!r}." if name else "The launcher's settings.",
                          f"{said[:1].upper()}{said[1:].rstrip('.')}.", SlurmSpec.model_fields[name].description or "" if name else ""
                          ) from error


def job_id_file(directory: Path) -> Path:
    """Return where the id of a run's job is kept while it may be under way."""
    return directory / "ranks" / "job-id"
