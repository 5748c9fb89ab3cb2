"""The training of a variant, called by `core.methods.distillation`, by the dry run and by the stepper.

    make_trainer    the trainer of a variant
    train           all optimiser steps of a variant, from its latest checkpoint; `fit` is what every process of a run does of it
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from transformers import TrainingArguments

from core.data.prepare import write_blocks
from core.events import Phase
from core.methods.orders import Order, leading, others_serving
from core.methods.run_folder import RunFolder
from core.methods.steps import TrainingInputs, steps_of, tokens_per_step
from core.methods.teacher_signals import summary, teacher_signals
from core.models.architectures import plain_model
from core.models.vocabulary import unpadded_width
from core.recorder import STUDENT, Recorder, StopRequested, stop_if_requested
from core.signals.cached import CachedTeacher
from core.signals.source import TeacherSignals, local_teacher
from core.students.build import Student
from core.students.layer_maps import matched_blocks
from core.system import ranks
from core.training.base_trainer import training_arguments
from core.training.checkpoint_folders import latest_checkpoint
from core.training.compiling import compiled_blocks
from core.training.distillation_trainer import HARD_LABELS_ONLY, DistillationSetup, DistillationTrainer
from core.training.sharding import computing_together
from core.training.trackers import tracked

Evaluate = Callable[[int], dict[str, float]]  # optimiser step -> point of the held-out curves


def make_trainer(inputs: TrainingInputs, student: Student, variant: str, arguments: TrainingArguments, recorder: Recorder,
                 evaluate: Evaluate, signals: TeacherSignals | None = None) -> DistillationTrainer:
    """Return the trainer of a variant: the student has the teacher's signal, the control hard labels only.

    Args:
        signals: what the teacher says (default: the teacher in memory is queried).
    """
    setup, teacher = HARD_LABELS_ONLY, inputs.teacher
    if inputs.served is not None:
        signals = signals or inputs.served.training
    if variant == STUDENT:
        setup = DistillationSetup(inputs.config.losses)
        if teacher is not None and inputs.config.losses.needs_teacher():  # a teacher that no term needs would only cost time
            matched = student.layer_map and matched_blocks(inputs.config.losses.hidden_layers, student.layer_map, teacher.entry.layers)
            setup = replace(setup, teacher=signals or local_teacher(teacher.model, inputs.config.losses.temperature),
                            layer_map=matched)
        elif inputs.served is not None and inputs.config.losses.needs_teacher():
            setup = replace(setup, teacher=signals)
    # The control is trained on the very logits that it is evaluated on, as the student is.
    models = (student.model, teacher.model) if teacher else (student.model,)
    setup = replace(setup, vocabulary=unpadded_width(inputs.tokenizer, *models))
    return DistillationTrainer(student.model, setup, inputs.data.train, arguments, variant=variant, recorder=recorder, dtype=inputs.dtype,
                               evaluate=evaluate, batches=inputs.objective.batches, sharded=inputs.shards_student)


def train(inputs: TrainingInputs, student: Student, variant: str, folder: RunFolder, recorder: Recorder,
          evaluate: Evaluate) -> torch.nn.Module:
    """Train a variant to the end, from its latest checkpoint; return the trained model, with all its weights.

    Args:
        evaluate: measures the point of the held-out curves at an optimiser step.

    Raises:
        StopRequested: after a checkpoint was saved.
    """
    config = inputs.config
    recorder.event(Phase("train", variant))
    stop_if_requested(recorder)
    source, teacher, served = answers_for(inputs, variant, folder), inputs.teacher, inputs.served

    def point(step: int) -> dict[str, float]:
        with others_serving():
            return evaluate(step)

    with leading(order_of(inputs, variant, folder)):
        trainer, trained = fit(inputs, student, variant, folder, recorder, point, source)
    state = trainer.state
    folder.add_training(variant, steps=state.global_step, tokens=int(state.num_input_tokens_seen),
                        tokens_per_second=trainer.clock.tokens_per_second(state))
    if source is not None and teacher is not None:
        folder.keep_summary(summary(
            source, plain_model(trained).num_parameters(), teacher, inputs.data.train, tokens_per_step=tokens_per_step(config),
            batch=config.train.per_device_train_batch_size, tokens_per_second=trainer.clock.tokens_per_second(state), device=inputs.device))
    elif source is not None and served is not None:
        folder.keep_summary(served.signals(trainer.clock.tokens_per_second(state)))
    if state.global_step < state.max_steps:
        raise StopRequested
    return trained


def answers_for(inputs: TrainingInputs, variant: str, folder: RunFolder) -> TeacherSignals | None:
    """Return what a variant learns from; None for the text alone. Kept answers are named in the run's progress."""
    if variant != STUDENT or not inputs.config.losses.needs_teacher():
        return None
    if inputs.teacher is not None:
        return teacher_signals(inputs.config, inputs.teacher, inputs.tokenizer, inputs.data.train, folder)
    if inputs.served is not None:
        folder.progress.signals = inputs.served.training.cache.key.digest
        return inputs.served.training
    return None


def fit(inputs: TrainingInputs, student: Student, variant: str, folder: RunFolder, recorder: Recorder, evaluate: Evaluate,
        source: TeacherSignals | None) -> tuple[DistillationTrainer, torch.nn.Module]:
    """Take the optimiser steps of a variant from its latest checkpoint, in every process of a run.

    Returns:
        The trainer, and the trained model; of several processes that share its weights out, rank 0 has them all.

    Args:
        source: what the teacher says.
    """
    config, checkpoints, steps = inputs.config, folder.checkpoints(variant), steps_of(inputs)
    arguments = training_arguments(config.train, checkpoints, inputs.device, eval_steps=config.evaluation.interval(steps),
                                   run_name=f"{config.name or folder.path.name}-{variant}")
    with tracked(config.train.report_to, folder.logs(variant)):
        trainer = make_trainer(inputs, student, variant, arguments, recorder, evaluate, source)
        trainer.compiled = compiled_blocks(student.model, config.train, steps * tokens_per_step(config), inputs.device, recorder)
        recorder.event(Phase("steps", variant, total_steps=steps))
        try:
            with computing_together():
                trainer.train_from(latest_checkpoint(checkpoints))
                trained = trainer.whole_model()
        finally:
            if source is not None:
                source.flush()  # what the teacher answered is kept, whatever ended the training
    if isinstance(source, CachedTeacher) and trainer.shared:
        source.queried, source.reused = (round(sum(each)) for each in zip(*ranks.gather([source.queried, source.reused]), strict=True))
    return trainer, trained


def order_of(inputs: TrainingInputs, variant: str, folder: RunFolder) -> Order:
    """Return what the other processes of a run need to train a variant too."""
    blocks = None
    if inputs.corpus is not None and ranks.world() > 1:
        blocks = str(folder.make_once("blocks.npz", lambda partial: write_blocks(partial, inputs.data)))
    return Order.to_train(inputs.config, inputs.dtype, folder.path, variant, layer_map=folder.progress.layer_map,
                          signals=folder.progress.signals, blocks=blocks)
