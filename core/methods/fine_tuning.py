"""Fine-tuning on a labelled task, alone or with a fine-tuned teacher: DistilBERT's second step (1910.01108, section 4).

    load      the checkpoint, the teacher and the task       core.tasks.data
    evaluate  the teacher, and the model with a new head
    train     head and encoder                               core.tasks.fine_tuning
    save, evaluate, report

A run like any other: called again on the same directory it resumes, and it leaves a model folder that
``AutoModelForSequenceClassification`` or ``AutoModelForQuestionAnswering`` loads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from core.config import FineTuneConfig
from core.events import STUDENT_AFTER, STUDENT_BEFORE, TEACHER, Phase
from core.methods.evaluator import Evaluator
from core.methods.kept_logits import KeptLogits
from core.methods.orders import TRAINING, Order, leading, others_serving, share_out
from core.methods.rehearsal import rehearse_documents, rehearse_saving
from core.methods.room import require_room, run_bytes
from core.methods.run_folder import RunFolder
from core.methods.steps import Load, summary_of
from core.models import catalog, compatibility
from core.models.adapters import merge_adapters
from core.models.architectures import plain_model
from core.models.entries import LoadedModel
from core.models.forward import max_positions
from core.models.header import precision_of
from core.models.loading import model_from_pretrained
from core.recorder import STUDENT, Recorder, stop_if_requested
from core.reports.model_card import write_folder_documents
from core.reports.run_report import RunReport, StudentSummary, TaskSummary
from core.system.devices import resolve_device, resolve_precision
from core.tasks.data import TaskData, load_task
from core.tasks.encoding import encode
from core.tasks.fine_tuning import FineTuned, evaluate_task, fine_tune, measure_items, shown_answers
from core.tasks.heads import check_teacher, label_order
from core.training.passes import ALONE, Passes
from core.training.trackers import require_trackers, tracked

TASK = "task"  # what is shared out
LOGITS = "logits"  # in the run's folder until the report is made
SHOWN = 4  # held-out items whose answers are shown before and after
LONGEST_SHOWN = 600  # characters of such an item


def tune(config: FineTuneConfig, recorder: Recorder, directory: Path, *, load: Load = catalog.load, command: str = "") -> RunReport:
    """Fine-tune ``student.model`` on ``task``, or resume it.

    Args:
        config: with its section ``task``; ``teacher`` is a model fine-tuned on the same labels, or null.
        recorder, directory, load, command: as in `core.methods.distillation.distill`.

    Returns:
        The report: ``output_dir``, ``teacher``, ``student``, ``metrics``, ``data``, ``seconds``, ``tokens``, ``tokens_per_second``,
        ``stopped`` and ``command``.

    Raises:
        StopRequested: with the report of what is known so far.
        StillhouseError: whatever the user can fix; nothing half-made stays under ``student/``.
    """
    folder = RunFolder(directory)
    inputs = load_task_inputs(config, folder, recorder, load)
    order = Order.to_train(config, inputs.dtype, folder.path, STUDENT)
    evaluator, kept = Evaluator(folder, recorder, (STUDENT,)), KeptLogits(folder.path / LOGITS)
    with folder.stop_reported(lambda: _report(inputs, folder, command, stopped=True)):
        teacher = inputs.teacher
        if teacher is not None:
            evaluator.evaluate(TEACHER, lambda: evaluate_task(teacher, inputs.task, dtype=inputs.dtype, stop=recorder.should_stop,
                                                              keep=kept.keeper(TEACHER), passes=share_out(TASK, TEACHER, order)))
        stop_if_requested(recorder)
        if not folder.has_model(STUDENT):
            tuned = _train(inputs, folder, recorder, evaluator, order)
            folder.save_model(STUDENT, tuned.model, inputs.start.tokenizer, inputs.save_precision)
        # What is evaluated is what was saved: read back, in whatever precision it was saved in.
        saved = inputs.saved(folder.path / STUDENT)
        evaluator.evaluate(STUDENT_AFTER, lambda: evaluate_task(saved, inputs.task, dtype=inputs.dtype, stop=recorder.should_stop,
                                                                keep=kept.keeper(STUDENT_AFTER),
                                                                passes=share_out(TASK, str(Path(order.folder) / STUDENT), order)),
                           lambda: inputs.samples(saved.model, max_positions(saved.model)))
    if (found := kept.report(inputs.task)) is not None:
        recorder.event(found)
    kept.remove()
    folder.remove_checkpoints()
    report = _report(inputs, folder, command, stopped=False)
    write_folder_documents(folder.path / STUDENT, config, report)
    folder.write_report(report)
    recorder.event(report)
    return report


@dataclass(frozen=True)
class TaskInputs:
    """What a model is fine-tuned from and on.

    Attributes:
        start: the pretrained encoder.
        teacher: fine-tuned on the same labels; may be None.
    """

    config: FineTuneConfig
    device: torch.device
    dtype: torch.dtype
    start: LoadedModel
    teacher: LoadedModel | None
    task: TaskData

    @property
    def save_precision(self) -> str:
        """Return the format of the saved weights."""
        origins = (loaded.entry.header for loaded in (self.teacher, self.start) if loaded is not None)
        return precision_of(self.config.train.save_precision, *origins)

    def saved(self, folder: Path) -> LoadedModel:
        """Load the fine-tuned model."""
        model = model_from_pretrained(folder, self.task.kind, torch.float32).to(self.device).eval()
        return replace(self.start, model=model, entry=replace(self.start.entry, task=self.task.kind))

    def measure(self, model: nn.Module, max_length: int, *, stop: Callable[[], bool] = lambda: False,
                passes: Passes = ALONE) -> dict[str, float]:
        """Measure the model that is trained; arguments are those of `core.tasks.fine_tuning.answers`."""
        features = encode(self.task.validation, self.task, self.start.tokenizer, max_length)
        return measure_items(model, features, self.task, self.start.tokenizer, self.dtype, stop=stop, passes=passes)

    def samples(self, model: nn.Module, max_length: int) -> Iterator[tuple[str, str]]:
        """Yield a few held-out items with the model's answers."""
        features = encode(self.task.validation[:SHOWN], self.task, self.start.tokenizer, max_length)
        for prompt, answer in shown_answers(plain_model(model), features, self.task, self.start.tokenizer, self.dtype):
            yield prompt[:LONGEST_SHOWN], answer


def load_task_inputs(config: FineTuneConfig, folder: RunFolder, recorder: Recorder, load: Load) -> TaskInputs:
    """Load the encoder, the teacher and the task. Raises as `tune`."""
    require_trackers(config.train.report_to)
    device = resolve_device(config.train.device)
    dtype = resolve_precision(config.train.precision, device)
    recorder.event(Phase("load models"))
    start, teacher = load(config.student.model, device=device, dtype=torch.float32, needs_head=False), None
    compatibility.require_encoder(start.entry)
    if config.teacher is not None:
        teacher = load(config.teacher.model, device=device, dtype=dtype)
        check_teacher(teacher, start)
    recorder.event(Phase("prepare data"))
    task = load_task(config.task)
    folder.require_unchanged_data(task.digest, config.task.source)
    if teacher is not None:
        label_order(teacher, task)
    return TaskInputs(config, device, dtype, start, teacher, task)


def _train(inputs: TaskInputs, folder: RunFolder, recorder: Recorder, evaluator: Evaluator, order: Order) -> FineTuned:
    """Train head and encoder from the latest checkpoint; raises StopRequested after saving one."""
    config, tokenizer = inputs.config, inputs.start.tokenizer

    def before(model: nn.Module, max_length: int) -> None:
        plain = merge_adapters(model)
        trainable = sum(each.numel() for each in model.parameters() if each.requires_grad)
        require_room(folder.path, run_bytes(plain.num_parameters(), trainable, adapters=config.student.lora is not None, variants=1,
                                            precision=inputs.save_precision), within=folder.path)
        rehearse_saving(folder.path, tokenizer, plain)
        folder.progress.shape = {
            "parameters": plain.num_parameters(), "layers": inputs.start.entry.layers, "layer_map": None,
            "trainable_parameters": trainable}
        with others_serving():
            evaluator.evaluate(STUDENT_BEFORE, lambda: inputs.measure(model, max_length, stop=recorder.should_stop,
                                                                      passes=share_out(TASK, TRAINING, order)),
                               lambda: inputs.samples(model, max_length))
        recorder.event(Phase("try later stages"))
        rehearse_documents(folder.path, config, _report(inputs, folder, "", stopped=False), (STUDENT,))

    recorder.event(Phase("train", STUDENT))
    with leading(order):
        tuned = fit(inputs, folder, recorder, before)
    folder.add_training(STUDENT, steps=tuned.steps, tokens=tuned.tokens, tokens_per_second=tuned.tokens_per_second)
    return tuned


def fit(inputs: TaskInputs, folder: RunFolder, recorder: Recorder, before: Callable[[nn.Module, int], None] | None = None) -> FineTuned:
    """Take the optimiser steps from the latest checkpoint, in every process of a run.

    Args:
        before: as in `core.tasks.fine_tuning.fine_tune`.
    """
    config = inputs.config
    with tracked(config.train.report_to, folder.logs(STUDENT)):
        return fine_tune(inputs.start, inputs.task, train=config.train, losses=config.losses, teacher=inputs.teacher,
                         lora=config.student.lora, recorder=recorder, directory=folder.checkpoints(STUDENT),
                         eval_steps=config.evaluation.interval, before=before, name=f"{config.name or folder.path.name}-{STUDENT}",
                         passes=Passes.of_run())


def _report(inputs: TaskInputs, folder: RunFolder, command: str, *, stopped: bool) -> RunReport:
    """Return everything known of a run."""
    config, progress, task = inputs.config, folder.progress, inputs.task
    student = {"name": config.name or STUDENT, "started": inputs.start.entry.name, **progress.shape}
    return RunReport(
        str(folder.path / STUDENT), summary_of(inputs.teacher), StudentSummary.from_dict(student),
        {subject: progress.measurements.get(subject) for subject in (TEACHER, STUDENT_BEFORE, STUDENT_AFTER)},
        TaskSummary(task.digest, task.name, task.kind, tuple(task.labels), len(task.train), len(task.validation)),
        round(folder.seconds, 1), progress.tokens.get(STUDENT, 0), round(progress.speed.get(STUDENT, 0.0), 1), stopped, command)
