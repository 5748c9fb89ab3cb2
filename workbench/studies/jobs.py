"""A study as a background job: its state in a file that any page finds again after a reload, and in what the kinds differ.

    <home>/claims/<NAME>/check.json           state of the check of a claim
    <home>/ablations/<folder>/state.json      state of an ablation
    <home>/deployments/<folder>/state.json    state of a comparison of a model's forms
    <home>/readings/<folder>/state.json       state of an annotation
    <folder of any>/log.txt                   output of its process
    <folder of any>/stop                      exists while a stop is requested
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

from core.errors import ConfigError
from core.events import AblationPart, ClaimPart, StudyPart
from core.reading import requests as readings
from core.recorder import Recorder
from core.reports.deployment import store as deployments
from core.reports.deployment.record import PARTS
from core.studies.ablation import results
from core.studies.ablation.run import run_ablation
from core.studies.ablation.variants import variants
from core.studies.claims import outcomes, registry
from core.studies.claims.running import run_claim
from core.system.files import read_json, write_json
from workbench.processes import ENDED_SILENTLY, Process, log_tail

LOG, STOP = "log.txt", "stop"

State = Literal["running", "stopped", "finished", "failed", "lost"]


@dataclass(frozen=True, slots=True)
class JobState:
    """The state of a job, or how it ended.

    Attributes:
        state: ``lost`` when its process vanished without recording an end.
        process: the process that carries it out, or did.
        began: seconds since 1970.
        done, total: parts (seeds of a claim, trainings of an ablation) that have finished, and all of them; 0 in all: not known.
        text: current activity.
        message, hint: why it ended, and what to do next.
    """

    state: State
    process: Process
    began: float
    done: int = 0
    total: int = 0
    text: str = "Starting"
    message: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Job(ABC):
    """A study that runs in a process of its own, identified by its folder. The class variables say how one kind differs from another."""

    folder: Path

    STATE_FILE: ClassVar[str]
    KIND: ClassVar[str]  # the word for the worker's command line
    RUNNING: ClassVar[str]  # sentence about a running job, with {} for its name
    RESUME_HINT: ClassVar[str]

    @abstractmethod
    def parts(self, seeds: int) -> int:
        """Return the number of its parts, the total of its progress."""

    @abstractmethod
    def run(self, seeds: int, recorder: Recorder) -> None:
        """Carry it out in this process, resuming after parts that have finished. Raises StopRequested on request."""

    def part_name(self, part: ClaimPart | AblationPart | StudyPart) -> str:
        """Return what the state calls a part of this job that begins."""
        return ""

    def load_state(self) -> JobState | None:
        """Return the latest state; None where it was never started, or the file cannot be read."""
        plain = read_json(self.folder / self.STATE_FILE)
        if not isinstance(plain, dict):
            return None
        try:
            # Checks of claims were once saved with the claim's name, and their total as "seeds".
            known = {"total" if key == "seeds" else key: value for key, value in plain.items() if key != "claim"}
            state = JobState(**known | {"process": Process(**plain["process"])})
        except (KeyError, TypeError):
            return None
        if state.state == "running" and not state.process.alive:
            return replace(state, state="lost", message=ENDED_SILENTLY,
                           hint=self.RESUME_HINT)
        return state

    def save_state(self, state: JobState) -> None:
        """Replace the state file."""
        write_json(self.folder / self.STATE_FILE, asdict(state))

    @property
    def stop_file(self) -> Path:
        """Its presence requests a stop after the current step: a file, because not every system has a signal that can be handled."""
        return self.folder / STOP

    def log_tail(self) -> str:
        """Return the end of its process's output."""
        return log_tail(self.folder / LOG)


class ClaimJob(Job):
    """The check of the claim that its folder is named after."""

    STATE_FILE, KIND = "check.json", "claim"
    RUNNING, RESUME_HINT = "{} is being checked", "Finished seeds are kept: check again to resume after them."

    @classmethod
    def of(cls, name: str) -> ClaimJob:
        """Return the job of a claim."""
        return cls(outcomes.folder(name))

    def parts(self, seeds: int) -> int:
        """Return the number of seeds."""
        return seeds

    def run(self, seeds: int, recorder: Recorder) -> None:
        """Test the claim with as many seeds, resuming after those that have finished."""
        run_claim(self.folder.name, registry.find(self.folder.name).seeds(seeds), recorder)


class AblationJob(Job):
    """The ablation whose recipe and seeds lie in its folder."""

    STATE_FILE, KIND = "state.json", "ablation"
    RUNNING, RESUME_HINT = "The ablation {} is running", "Finished trainings are kept: start it again to resume after them."

    def parts(self, seeds: int) -> int:
        """Return the number of trainings: every variant with every seed; 0 where the request cannot be read."""
        request = results.load_request(self.folder)
        return 0 if request is None else len(request[1]) * len(variants(request[0]))

    def run(self, seeds: int, recorder: Recorder) -> None:
        """Run the ablation of the folder's request, resuming after trainings that have finished."""
        request = results.load_request(self.folder)
        if request is None:
            raise ConfigError(f"'{self.folder}' holds no ablation.", "A recipe that this release reads was expected.",
                              "Start the ablation again from its recipe.")
        run_ablation(*request, recorder)

    def part_name(self, part: ClaimPart | AblationPart | StudyPart) -> str:
        """Return the variant and the seed of a training."""
        assert isinstance(part, AblationPart)
        return f"{results.WORDS[part.variant]}, seed {part.seed}"


class DeploymentJob(Job):
    """The comparison of a model's forms whose request lies in its folder."""

    STATE_FILE, KIND = "state.json", "deployment"
    RUNNING, RESUME_HINT = "The comparison {} is running", "A finished export is kept: measure again to resume after it."

    def parts(self, seeds: int) -> int:
        """Return the parts of a comparison's progress, which are percent; nothing in it is drawn by the seed."""
        return PARTS

    def run(self, seeds: int, recorder: Recorder) -> None:
        """Carry out the request of the folder, and keep the result there."""
        from core.reports.deployment.measure import measure_deployment

        request = deployments.load_request(self.folder)
        if request is None:
            raise ConfigError(f"'{self.folder}' holds no comparison.", "A request that this release reads was expected.",
                              "Start it again from the page Deploy.")
        deployments.save_result(self.folder, measure_deployment(request, self.folder, recorder))

    def part_name(self, part: ClaimPart | AblationPart | StudyPart) -> str:
        """Return what the part does."""
        return part.name if isinstance(part, StudyPart) else ""


class ReadingJob(Job):
    """The annotation whose request lies in its folder; its answers are kept in the cache, one by one."""

    STATE_FILE, KIND = "state.json", "reading"
    RUNNING, RESUME_HINT = "The annotation {} is running", "Every answer is kept: take the notes again to resume after them."

    def parts(self, seeds: int) -> int:
        """Return 0: how many sentences there are is known once the text is read."""
        return 0

    def run(self, seeds: int, recorder: Recorder) -> None:
        """Take the notes of the folder's request."""
        from core.methods.reading import take_notes

        request = readings.load_request(self.folder)
        if request is None:
            raise ConfigError(f"'{self.folder}' holds no annotation.", "A request that this release reads was expected.",
                              "Start it again from the page Reading.")
        take_notes(request.config, recorder)


KINDS: Mapping[str, type[Job]] = {kind.KIND: kind for kind in (ClaimJob, AblationJob, DeploymentJob, ReadingJob)}


def jobs() -> Iterator[Job]:
    """Yield the job of every claim, and of every ablation, comparison and annotation that was begun here."""
    yield from map(ClaimJob.of, registry.CLAIMS)
    yield from map(AblationJob, results.folders())
    yield from map(DeploymentJob, deployments.folders())
    yield from map(ReadingJob, readings.folders())
