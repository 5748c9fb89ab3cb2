"""Fine-tuning a pretrained encoder on a labelled task, alone or with a fine-tuned teacher (1910.01108, section 4).

    L = w_hard CE(y, q) + w_kd T^2 KL(p || q)

over classes; for questions the mean of the same over the beginnings and the ends of spans, whose softmax leaves padding out. With a
teacher the published weights are one half each and T = 2.

Nothing here needs an experiment: `fine_tune_and_evaluate` fine-tunes and measures in one call, and returns a model that can teach.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from core.config import LoraSpec, LossSpec, TrainSpec, total_steps
from core.events import Phase, RunWarning
from core.models import catalog
from core.models.adapters import add_task_adapters, merge_adapters
from core.models.architectures import plain_model
from core.models.entries import LoadedModel
from core.models.forward import eval_mode, max_positions, uses_token_types
from core.models.vocabulary import require_rows, require_tokenizer_fits
from core.recorder import STUDENT, ListRecorder, Recorder, StopRequested
from core.system.devices import resolve_precision
from core.tasks.data import Example, Question, TaskData, majority_share, of_type
from core.tasks.encoding import Feature, by_length, collate, encode
from core.tasks.heads import check_teacher, label_order, with_head
from core.tasks.metrics import answer_metrics, best_span, classification_metrics
from core.tasks.trainer import Collator, Item, TaskTrainer, logits_of
from core.training.base_trainer import training_arguments
from core.training.checkpoint_folders import latest_checkpoint
from core.training.passes import ALONE, Passes

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LABELS_ONLY = LossSpec(w_kd=0.0, w_hard=1.0)
DISTILBERT_LOSSES = LossSpec(w_kd=0.5, w_hard=0.5, temperature=2.0)  # as published for DistilBERT (1910.01108, section 4)
DEFAULT_FINE_TUNING = TrainSpec(learning_rate=3e-4, per_device_train_batch_size=32, num_train_epochs=1, lr_scheduler_type="linear",
                                warmup_ratio=0.1,
                  logging_steps=10)
CURVE_ITEMS = 256  # held-out items of the curve during training; the final evaluation uses all


@dataclass(frozen=True, slots=True)
class FineTuned:
    """A fine-tuned model.

    Attributes:
        model: in evaluation mode, adapters merged.
        steps, tokens: optimiser steps and tokens of all calls on this directory, padding included.
        tokens_per_second: of training; 0 where a finished training was only read again.
    """

    model: PreTrainedModel
    steps: int
    tokens: int
    tokens_per_second: float


def fine_tune_and_evaluate(model: LoadedModel | str | Path, task: TaskData, *, seed: int, spec: TrainSpec = DEFAULT_FINE_TUNING,
                   teacher: LoadedModel | None = None, losses: LossSpec | None = None, lora: LoraSpec | None = None,
                   recorder: Recorder | None = None) -> tuple[LoadedModel, dict[str, float]]:
    """Fine-tune a pretrained model and measure it on the held-out items.

    Args:
        model: as loaded, or a reference; it is not changed.
        seed: of the new head, the order of the items and dropout.
        spec: optimisation; its own seed, tracker and checkpoints do not count.
        teacher: fine-tuned on the same labels, with the same tokenizer, as this function returns it.
        losses: weights and temperature (default: hard labels alone; with a teacher the published halves).

    Returns:
        The fine-tuned model, which can teach, and what `evaluate_task` gives.

    Raises:
        StopRequested: the user requested a stop.
        CompatibilityError: a model that is no encoder, a teacher with other labels or another tokenizer.
    """
    start = model if isinstance(model, LoadedModel) else catalog.load(str(model), dtype=torch.float32, needs_head=False)
    tuned = fine_tune(start, task, train=spec.model_copy(update={"seed": seed}),
                      losses=losses or (DISTILBERT_LOSSES if teacher else LABELS_ONLY),
                      teacher=teacher, lora=lora, recorder=recorder)
    made = replace(start, model=tuned.model, entry=replace(start.entry, task=task.kind))
    return made, evaluate_task(made, task, dtype=resolve_precision(spec.precision, tuned.model.device))


def fine_tune(start: LoadedModel, task: TaskData, *, train: TrainSpec, losses: LossSpec = LABELS_ONLY, teacher: LoadedModel | None = None,
              lora: LoraSpec | None = None, recorder: Recorder | None = None, directory: Path | None = None, variant: str = STUDENT,
              eval_steps: Callable[[int], int] | None = None, before: Callable[[nn.Module, int], None] | None = None,
              name: str | None = None, passes: Passes = ALONE) -> FineTuned:
    """Put a head on a pretrained encoder and train both, or resume.

    Args:
        start: on the device on which it is trained; it is not changed.
        teacher: on any device; run once on every training item.
        directory: of checkpoints; without one nothing is written, and a stop loses what was learnt.
        eval_steps: from the steps of the training, those between two points of the held-out curve (default: none). The last step has no
            point: whoever saves the model measures what was saved.
        before: called with the model before its first step, and the tokens of an item that are read.
        name: what trackers call this training.
        passes: of the teacher and of the curve those of this process, where several train.

    Raises:
        StopRequested: the user requested a stop.
        CompatibilityError: as `fine_tune_and_evaluate`; also questions for a model that reads too little.
    """
    recorder, device = recorder or ListRecorder(), start.model.device
    dtype = resolve_precision(train.precision, device)
    order = None
    if teacher is not None:
        order = label_order(teacher, task)
        check_teacher(teacher, start)
    headed = with_head(start, task, train.seed)
    require_tokenizer_fits(start.tokenizer, start.model, start.entry.name)
    model = headed if lora is None else add_task_adapters(headed, lora, train.seed)
    reads = max_positions(*(each.model for each in (start, teacher) if each))
    if task.max_length > reads:
        recorder.event(RunWarning(f"task.max_length is {task.max_length} tokens; the models read {reads}."))
    learnt = encode(task.train, task, start.tokenizer, reads)
    if before is not None:
        before(model, reads)
    teacher_logits: Sequence[np.ndarray | None] = [None] * len(learnt)
    if teacher is not None and losses.needs_teacher():
        recorder.event(Phase("ask teacher", details={"items": len(learnt)}))
        teacher_logits = answers(teacher.model, learnt, teacher.tokenizer, dtype, recorder.should_stop, passes)
        if task.kind == "classification":
            teacher_logits = [each[order] for each in teacher_logits]
    curve = encode(task.validation[:CURVE_ITEMS], task, start.tokenizer, reads)
    torch.manual_seed(train.seed)  # of dropout

    steps = total_steps(train, len(learnt))

    def measure(step: int) -> dict[str, float]:
        if step >= steps:
            return {}
        metrics = measure_items(model, curve, task, start.tokenizer, dtype, stop=recorder.should_stop, passes=passes)
        return {f"eval/{each}": value for each, value in metrics.items() if each in ("accuracy", "exact_match", "answer_f1")}

    with TemporaryDirectory() as elsewhere:
        arguments = training_arguments(train, directory or Path(elsewhere), device, eval_steps=eval_steps(steps) if eval_steps else steps,
                                       run_name=name)
        if directory is None:
            arguments.save_strategy = "no"
        if eval_steps is None:
            arguments.eval_strategy = "no"
        data: list[Item] = list(zip(learnt, teacher_logits, strict=True))
        trainer = TaskTrainer(model, losses, data, Collator(start.tokenizer.pad_token_id, uses_token_types(plain_model(model))), arguments,
                              variant=variant, recorder=recorder, dtype=dtype, evaluate=measure)
        recorder.event(Phase("steps", variant, total_steps=steps))
        trainer.train_from(latest_checkpoint(directory) if directory else None)
    if trainer.state.global_step < trainer.state.max_steps:
        raise StopRequested
    return FineTuned(merge_adapters(model).eval(), trainer.state.global_step, int(trainer.state.num_input_tokens_seen),
                 trainer.clock.tokens_per_second(trainer.state))


def evaluate_task(loaded: LoadedModel, task: TaskData, *, dtype: torch.dtype = torch.float32, items: int | None = None,
                  stop: Callable[[], bool] = lambda: False, keep: Callable[[np.ndarray], None] = lambda _: None,
                  passes: Passes = ALONE) -> dict[str, float]:
    """Measure a fine-tuned model on the held-out items; see `core.tasks.metrics`.

    Args:
        items: the first so many only.
        stop, passes: as in `answers`.
        keep: as in `measure_items`.

    Raises:
        CompatibilityError: a model without such a head, or with other labels.
    """
    order = label_order(loaded, task)
    features = encode(task.validation[:items], task, loaded.tokenizer, max_positions(loaded.model))
    return measure_items(loaded.model, features, task, loaded.tokenizer, dtype, order, stop, keep, passes)


def measure_items(model: nn.Module, features: Sequence[Feature], task: TaskData, tokenizer: Any, dtype: torch.dtype,
                  order: Sequence[int] | None = None, stop: Callable[[], bool] = lambda: False,
                  keep: Callable[[np.ndarray], None] = lambda _: None, passes: Passes = ALONE) -> dict[str, float]:
    """Measure any model with the task's head on encoded held-out items.

    Args:
        order: for each label the number that the model gives it (default: the task's own).
        stop, passes: as in `answers`.
        keep: called with the logits of a classification, (items, labels) in the task's order.
    """
    logits = answers(model, features, tokenizer, dtype, stop, passes)
    if task.kind == "question_answering":
        return _answered(logits, features, task)
    predicted = np.stack(logits)[:, list(order)] if order else np.stack(logits)
    keep(predicted)
    right = np.array([feature.targets[0] for feature in features])
    train, measured = of_type(task.train, Example), of_type(task.validation[:len(features)], Example)
    metrics = classification_metrics(predicted.argmax(1), right, task.labels, task.metrics, [(item.text, item.pair) for item in measured])
    return metrics | {"majority_share": majority_share(train, measured)}


def shown_answers(model: nn.Module, features: Sequence[Feature], task: TaskData, tokenizer: Any,
                  dtype: torch.dtype) -> list[tuple[str, str]]:
    """Return a model's answers to encoded held-out items, for display: (input, its answer with the right one)."""
    logits = answers(model, features, tokenizer, dtype)
    if task.kind == "question_answering":
        given, questions = _spans(logits, features, task), of_type(task.validation, Question)
        return [(f"{questions[item].text}\n\n{questions[item].context}",
                 f"{given[item] or '(nothing)'} (right: {questions[item].answers[0][0]})") for item in sorted(given)]
    shown, examples = [], of_type(task.validation, Example)
    for row, feature in zip(logits, features, strict=True):
        item, likely = examples[feature.item], np.exp(row - np.logaddexp.reduce(row))
        shown.append((item.text if item.pair is None else f"{item.text}\n\n{item.pair}",
                     f"{task.labels[int(likely.argmax())]}, {likely.max():.0%} (right: {task.labels[item.label]})"))
    return shown


def _answered(logits: Sequence[np.ndarray], features: Sequence[Feature], task: TaskData) -> dict[str, float]:
    given, questions = _spans(logits, features, task), of_type(task.validation, Question)
    return answer_metrics([given[item] for item in sorted(given)],
                          [[text for text, _ in questions[item].answers] for item in sorted(given)])


def _spans(logits: Sequence[np.ndarray], features: Sequence[Feature], task: TaskData) -> dict[int, str]:
    """Return for each question the likeliest answer over its windows."""
    best: dict[int, tuple[float, str]] = {}
    questions = of_type(task.validation, Question)
    for (start, end), feature in zip(logits, features, strict=True):
        assert feature.spans is not None, "windows know which characters their tokens stand for"
        score, first, last = best_span(start, end, feature.spans)
        if score >= best.get(feature.item, (-math.inf, ""))[0]:
            best[feature.item] = score, questions[feature.item].context[first:last]
    return {item: text for item, (_, text) in best.items()}


def answers(model: nn.Module, features: Sequence[Feature], tokenizer: Any, dtype: torch.dtype,
            stop: Callable[[], bool] = lambda: False, passes: Passes = ALONE) -> list[np.ndarray]:
    """Return a model's logits for every sequence, in float32: (classes,) or (2, tokens).

    Args:
        stop: called before every batch.
        passes: the batches of this process, where several share them out; all return the logits of all.

    Raises:
        StopRequested: it said so.
    """
    plain = plain_model(model)
    device, token_types = plain.device, uses_token_types(plain)
    require_rows(chain([tokenizer.pad_token_id], *(feature.input_ids for feature in features)), tokenizer, model)
    found: list[np.ndarray] = [np.empty(0)] * len(features)

    def advance(_done: int, _total: int) -> None:
        if stop():
            raise StopRequested

    with eval_mode(model), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        for batch, _ in passes.batches(by_length(features), advance):
            inputs = collate([features[number] for number in batch], tokenizer.pad_token_id, token_types)
            rows = logits_of(model, {name: tensor.to(device) for name, tensor in inputs.items()}).float().cpu().numpy()
            for row, number in enumerate(batch):
                found[number] = rows[row] if len(rows) == len(batch) else rows[[row, row + len(batch)], :len(features[number])]
    return found if passes.world == 1 else _of_all(found, features, passes)


def _of_all(found: Sequence[np.ndarray], features: Sequence[Feature], passes: Passes) -> list[np.ndarray]:
    """Return the logits of all sequences, of which each process has found some; those of others are empty."""
    classes = passes.largest(max((len(each) for each in found if each.ndim == 1), default=0))  # 0 for spans
    shapes = [(classes,) if classes else (2, len(feature)) for feature in features]
    sizes = [math.prod(shape) for shape in shapes]
    flat = np.zeros(sum(sizes), np.float32)
    parts = np.split(flat, np.cumsum(sizes)[:-1])
    for part, own in zip(parts, found, strict=True):
        if own.size:
            part[:] = own.reshape(-1)
    passes.add_up(flat)
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
