"""The conditions of a run, each with what to change where it does not hold.

A check returns one sentence about what it found, and raises a `StillhouseError` about what cannot be.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from core import footprint, machine
from core.anatomy import Objective
from core.catalog import LoadedModel, ModelEntry
from core.checkpoints import DOES
from core.config import DataSpec, ExperimentConfig, LossSpec, MaskingSpec, RetentionSpec, TaskSpec
from core.data import house, sources
from core.data.formats import known_columns
from core.errors import CompatibilityError, ConfigError, DeviceError, DiskFull, OutOfMemory, StillhouseError
from core.footprint import Shape
from core.home import home
from core.quantities import room, size
from core.tokenizer import vocabulary_size

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Check:
    """The outcome of one check.

    Attributes:
        name: teacher, student, objective, writer, prompts, text, trackers, block length, trained length, retention tasks, disk, device,
            memory; in a complete plan also vocabulary, rehearsal.
        message: what was found; when it is not `ok`, what was expected too.
        fix: what to change; may be empty.
        caution: nothing stands in the way, but it may not be what was meant.
    """

    name: str
    ok: bool
    message: str
    fix: str = ""
    caution: bool = False


@dataclass
class Checks:
    """Outcomes by name, in the order in which they were first known; a later one replaces an earlier one."""

    by_name: dict[str, Check] = field(default_factory=dict)

    @property
    def hold(self) -> bool:
        return all(check.ok for check in self.by_name.values())

    def tell(self, name: str, message: str) -> None:
        """Record that a condition holds."""
        self.by_name[name] = Check(name, True, message)

    def warn(self, name: str, message: str, fix: str) -> None:
        """Record that a condition holds, and that a user should know of something all the same."""
        self.by_name[name] = Check(name, True, message, fix, caution=True)

    def take(self, name: str, action: Callable[[], Result], told: Callable[[Result], str] = str) -> Result | None:
        """Do something that a user's mistake may stop; None if it did. Otherwise `told` words what was found."""
        try:
            result = action()
        except StillhouseError as error:
            self.by_name[name] = Check(name, False, " ".join(filter(None, (error.given, error.expected))), error.fix)
            return None
        self.tell(name, told(result))
        return result


def source(spec: DataSpec) -> str:
    """A look at the first row of a file; nothing that would take long or need the network."""
    if spec.source == house.HOUSE:
        house.corpus_path()
        return "The house corpus: 33,530 film reviews."
    sources.require_end(spec)
    if sources.is_hub_id(spec.source):
        return f"'{spec.source}' is taken for a hub dataset."
    found = sources.inspect(spec, limit=1)
    return f"'{Path(spec.source).name}' reads as {found.format}, from {found.column}."


def writer(model: ModelEntry) -> str:
    """Whether a bridge's teacher can be asked, as far as the files of a model folder tell; others are looked at when they are loaded."""
    folder = predicts_next(model, "bridge").path
    if folder is not None and folder.is_dir() and not any(folder.glob("chat_template*")):
        settings = folder / "tokenizer_config.json"
        if settings.is_file() and '"chat_template"' not in settings.read_text(encoding="utf-8"):
            raise mute(model.name)
    download = "" if model.present else f" It will be downloaded first ({size(model.size_bytes)})."
    return f"{model.name} writes the texts.{download}"


def prompts(source: str) -> DataSpec:
    """How a bridge's prompts are read: a file may have a column of them and no answers. Raises DataError."""
    spec = DataSpec(source=source)
    if source == house.HOUSE or sources.is_hub_id(source):
        return spec
    columns = sources.open_source(spec).columns
    return spec.model_copy(update={"column": "prompt"}) if "prompt" in columns and known_columns(columns) is None else spec


def mute(model: str) -> CompatibilityError:
    """The error of a bridge's teacher that nobody can ask."""
    return CompatibilityError(f"The bridge's teacher '{model}' has no chat template.", "A model that answers was expected.",
                              "Choose an instruction-tuned model.")


def task_source(spec: TaskSpec) -> str:
    """Whether a labelled dataset is there: a look at a local file's columns, nothing of the hub."""
    from core.tasks.data import look

    return look(spec)


def retention_tasks(spec: RetentionSpec, objective: Objective) -> str:
    """Whether the tasks of the retention card are there; a look at names and local files, nothing of the hub."""
    from core.evaluation.task_scores import check_tasks

    check_tasks(spec, objective)
    return f"The retention card is measured on {', '.join(spec.tasks)}." if spec.tasks else "The retention card has no tasks."


def encoder(model: ModelEntry) -> ModelEntry:
    """The model, if it reads both ways."""
    if model.task == "causal":
        raise CompatibilityError(f"'{model.name}' is a {model.architecture} model: it predicts the next token.",
                                 "An encoder was expected, as BERT, RoBERTa, DistilBERT, ELECTRA or ModernBERT.",
                                 "Choose a masked-language model for student.model.")
    return model


def task_teacher(model: ModelEntry) -> ModelEntry:
    """The model, if it was fine-tuned on a task."""
    if model.task not in ("classification", "question_answering"):
        raise CompatibilityError(f"'{model.name}' is a {model.task} language model.",
                                 "A teacher that was fine-tuned on the task was expected.",
                                 "Fine-tune it first, as assets/recipes/house-sentiment.yaml does, and name that run.")
    return model


def language_model(entry: ModelEntry) -> ModelEntry:
    """The same entry. Refuses a model whose head was made for a labelled task: it predicts no tokens, and so teaches none."""
    if entry.task not in ("causal", "masked"):
        raise CompatibilityError(f"'{entry.name}' {DOES[entry.task]}.", "A model that predicts tokens was expected.",
                                 "Choose the language model that it was made from. A classifier teaches its own task: give one in 'task'.")
    return entry


def predicts_next(entry: ModelEntry, what: str) -> ModelEntry:
    """The same entry. Refuses any model but a causal one, where `what` (a chain, a bridge) is made of those alone."""
    if entry.task != "causal":
        raise CompatibilityError(f"'{entry.name}' {DOES[entry.task]}.", f"A {what} is made of models that predict the next token.",
                                 f"Choose another model for the {what}, or distil '{entry.name}' into one student.")
    return entry


def same_kind(teacher: ModelEntry, student: ModelEntry) -> ModelEntry:
    """The student's entry. Refuses a student that predicts something else than its teacher does."""
    if teacher.task != student.task:
        raise CompatibilityError(f"The teacher '{teacher.name}' {DOES[teacher.task]}, and '{student.name}' {DOES[student.task]}.",
                                 "Teacher and student must predict the same.", "Choose a student.model of the teacher's kind, or none.")
    return student


def objective(config: ExperimentConfig, kind: Objective) -> str:
    """Refuses settings that mean something to models of the other kind only.

    Raises:
        CompatibilityError: a recipe for masked models with a causal one.
        ConfigError: questions to a model that fills blanks.
    """
    masked_only = [name for name, differs in (
        ("masking", config.masking != MaskingSpec()), ("losses.kd_positions", config.losses.kd_positions != "all"),
        ("student.architecture", config.student.architecture != "teacher")) if differs]
    if kind == "causal" and masked_only:
        verb = "belongs" if len(masked_only) == 1 else "belong"
        raise CompatibilityError(f"{' and '.join(masked_only)} {verb} to masked-language models, and this one predicts the next token.",
                                 "A BERT-type model with its masked-language head was expected.",
                                 "Choose another teacher, or remove these settings.")
    if kind == "masked" and config.evaluation.sentiment_items:
        raise ConfigError(f"evaluation.sentiment_items is {config.evaluation.sentiment_items}.",
                          "A masked-language model fills blanks and answers no question.",
                          "Set it to 0; evaluation.retention fine-tunes the models and measures that.")
    return f"The model {DOES[kind]}."


def device(name: str) -> str:
    """The device that `name` stands for, among the GPUs that the system lists; a complete plan asks whether torch can use it."""
    gpus = [f"cuda:{number}" for number in range(len(machine.visible_gpus(os.environ.get(machine.VISIBLE))))]
    wanted = {"auto": gpus[0] if gpus else "cpu", "cuda": "cuda:0"}.get(name, name)
    if wanted not in ("cpu", *gpus):
        raise DeviceError(f"The device '{name}' was asked for.", f"This machine has: {', '.join(['cpu', *gpus])}.",
                          "Use 'auto' to take the best one.")
    return wanted


def trackers(names: Sequence[str]) -> str:
    """Whether everything that a run shall report to is installed."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise ConfigError(f"train.report_to names '{name}'.", "It is not installed.",
                              f"Install it (pip install {name}), or leave it out.")
    return f"Also reports to {', '.join(names)}."


def block_length(spec: DataSpec, context: int) -> str:
    """`context`: tokens of the model's longest sequence."""
    if spec.block_length > context:
        raise CompatibilityError(f"data.block_length is {spec.block_length} tokens.", f"The model reads {context} at most.",
                                 f"Set data.block_length to {context} or less.")
    return f"{spec.block_length} tokens of the {context:,} that the model reads."


def task_length(spec: TaskSpec, context: int) -> str:
    """`context`: tokens of the longest sequence that all models read. Longer items lose what is too much; nothing fails."""
    if spec.max_length > context:
        return (f"task.max_length is {spec.max_length} tokens; the models read {context:,} at most, and so much of an item is read. "
                f"Set task.max_length to {context} to say so.")
    return f"{spec.max_length} tokens of the {context:,} that the models read."


def widths(losses: LossSpec, teacher: int, student: int) -> str:
    """`teacher`, `student`: channels. The cosine of two hidden states needs equal widths; matched layers have a projection."""
    if teacher != student and (losses.w_hidden.start or losses.w_hidden.end):
        raise CompatibilityError(f"losses.w_hidden compares states of {teacher} and {student} channels.", "Equal widths were expected.",
                                 "Set losses.w_hidden to 0, or use losses.w_hidden_mse, which learns a projection.")
    return f"States of {teacher} and {student} channels."


def disk(needed: int) -> str:
    """`needed`: bytes in the home folder."""
    folder = home()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DiskFull(f"The run writes up to {room(needed)} of checkpoints and models.", f"'{folder}' has {room(free)} left.",
                       "Make room, or set STILLHOUSE_HOME to a folder on a larger disk.")
    return f"{room(needed)} at most for checkpoints and models; {room(free)} are free."


def memory(config: ExperimentConfig, teacher: Shape | None, student: Shape, compute_bytes: int, available: int, *,
           on_gpu: bool = False) -> str:
    """`available`: bytes free on the device; the others as in `core.footprint.memory`."""
    def needs(config: ExperimentConfig) -> int:
        return footprint.memory(config, teacher, student, compute_bytes, on_gpu=on_gpu).total

    if needs(config) > available:
        raise OutOfMemory(f"A training step takes about {room(needs(config))}.", f"{room(available)} are free.",
                          _smaller(config, needs, available))
    return f"About {room(needs(config))} of the {room(available)} that are free."


def _smaller(config: ExperimentConfig, needs: Callable[[ExperimentConfig], int], available: int) -> str:
    """The largest batch that fits; cutting a step into more batches leaves its gradient the same."""
    batch, steps = config.train.per_device_train_batch_size, config.train.gradient_accumulation_steps
    while batch % 2 == 0:
        batch, steps = batch // 2, steps * 2
        train = config.train.model_copy(update={"per_device_train_batch_size": batch, "gradient_accumulation_steps": steps})
        if needs(config.model_copy(update={"train": train})) <= available:
            return f"Set train.per_device_train_batch_size to {batch} and train.gradient_accumulation_steps to {steps}: same gradients."
    if config.task is not None:
        return "Use a smaller teacher, a smaller model, adapters (student.lora) or a shorter task.max_length."
    return "Use a smaller teacher, a shallower student, adapters (student.lora) or a shorter data.block_length."


def vocabulary(teacher: LoadedModel) -> str:
    """Whether the model has a row for every token; padding beyond them is cut off in losses and evaluation."""
    tokens = vocabulary_size(teacher.tokenizer)
    rows = teacher.model.get_output_embeddings().weight.shape[0]
    if tokens > rows:
        raise CompatibilityError(f"The tokenizer of '{teacher.entry.name}' knows {tokens:,} tokens.", f"The model predicts {rows:,}.",
                                 "Put the tokenizer that the model was trained with into its folder.")
    padding = f"; {rows - tokens:,} rows of the model are padding" if rows > tokens else ""
    return f"Teacher and student share {tokens:,} tokens{padding}."
