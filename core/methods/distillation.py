"""Knowledge distillation of a language model (1503.02531, for pretrained encoders 1910.01108), and training on text alone.

`distill` reads as its steps: load and prepare, then for each variant build, train, save and evaluate; finish with model cards, the
retention card and the report. Teacher and untrained student are measured beside the first steps (`core.methods.first_measurements`), or
not at all where another run has measured the same. Everything that takes long leaves its result in the run's folder
(`core.methods.run_folder`), so calling `distill` again on the same folder resumes a stopped, killed or lost run:

    directory/
        student/              the model folder, as `from_pretrained` loads it
        before/               the student before training
        control/              the same student trained without the teacher, if the recipe sets ``control``
        checkpoints/, logs/, progress.json, report.json
        tokenizer/            a vocabulary trained for a model from scratch
        units.safetensors     importance of each of the teacher's units, where a narrower student keeps the most important ones
        retention/            scores, times and the retention card, if the recipe sets ``evaluation.retention``
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from core.config import ExperimentConfig
from core.events import STUDENT_AFTER, STUDENT_BEFORE, TEACHER, Phase
from core.methods.distillation_schedule import schedule_of
from core.methods.evaluator import TRAINED, Evaluator, LanguageEvaluation, curve_metrics
from core.methods.first_measurements import FirstMeasurements
from core.methods.orders import TRAINING
from core.methods.rehearsal import rehearse_documents, rehearse_saving
from core.methods.retention import card_scoring, measure_card, rehearse_card
from core.methods.room import require_room, run_bytes
from core.methods.run_folder import RunFolder
from core.methods.schedule import ScheduledRecorder
from core.methods.shardable import shard_teacher
from core.methods.steps import Corpus, Load, TrainingInputs, build_or_rebuild, load_inputs, steps_of, variants_of
from core.methods.variant_training import Evaluate, order_of, train
from core.models import catalog
from core.models.adapters import merge_adapters
from core.models.architectures import on_device, plain_model
from core.models.vocabulary import decode_text
from core.recorder import CONTROL, STUDENT, Recorder, stop_if_requested
from core.reports.model_card import write_folder_documents
from core.reports.run_report import CorpusSummary, RunReport, SignalsSummary, StudentSummary
from core.reports.task_scores import Scoring
from core.students.build import Student


def distill(config: ExperimentConfig, recorder: Recorder, directory: Path, *, load: Load = catalog.load,
            command: str = "", corpus: Corpus | None = None) -> RunReport:
    """Run an experiment, or resume it.

    Args:
        recorder: receives every metric and event; polled for stop requests after every optimiser step.
        directory: where everything of this run is kept; made if it does not exist.
        load: loads the model of a reference.
        command: the command line that repeats the run, for the model card.
        corpus: what is trained on, in place of ``data.source``.

    Returns:
        The report: ``output_dir``, ``teacher``, ``student``, ``metrics``, ``data``, ``seconds``, ``tokens``, ``tokens_per_second``,
        ``stopped``, ``command`` and ``retention`` (the card, or None).

    Raises:
        StopRequested: with the report of what is known so far.
        StillhouseError: whatever the user can fix; nothing half-made stays under ``student/``.
        DeviceError: this process is one of several that have not joined; `core.methods.run_experiment` has them join.
    """
    folder, recorder = RunFolder(directory), ScheduledRecorder(recorder)
    inputs = load_inputs(config, folder, recorder, load, corpus)
    evaluation = LanguageEvaluation.of(inputs, recorder, order_of(inputs, STUDENT, folder))
    evaluator = Evaluator(folder, recorder, variants_of(config))
    retention = card_scoring(inputs, recorder)  # read now, so that a task that cannot be read fails before any training
    with folder.stop_reported(lambda: _report(inputs, folder, command, stopped=True)):
        first = FirstMeasurements(inputs, folder, evaluator, evaluation)
        for variant in variants_of(config):
            stop_if_requested(recorder)  # evaluation takes a while too
            torch.manual_seed(config.train.seed)
            student = build_or_rebuild(inputs, folder)
            folder.progress.shape = _shape(student)
            begins = variant == STUDENT and not folder.has_model(STUDENT)
            if begins:
                _require_saving(inputs, folder, student)
            if inputs.teacher is not None and inputs.shards_teacher:
                evaluation.teacher_hash()  # while all its weights are here
                shard_teacher(inputs.teacher.model, inputs.device, order_of(inputs, variant, folder))
            if not inputs.shards_student:
                on_device(student.model, inputs.device)
            if variant == STUDENT:
                recorder.schedule, recorder.step_amount = schedule_of(inputs, folder, evaluation, folder.progress.shape["parameters"])
                first.begin(student.model)
            if begins:
                _rehearse(inputs, folder, recorder, student, evaluation, retention)
            if not folder.has_model(variant):
                trained = train(inputs, student, variant, folder, recorder,
                                _curve(inputs, recorder, evaluator, evaluation, first, variant, student))
                student = replace(student, model=trained)
                first.measure()
                folder.save_model(variant, merge_adapters(student.model), inputs.tokenizer, inputs.save_precision)
            # What is evaluated is what was saved: read back, in whatever precision it was saved in.
            saved, at = inputs.read_back(folder.path / variant), str((folder.path / variant).absolute())
            evaluator.evaluate(TRAINED[variant], partial(evaluation.metrics, saved, at), partial(evaluation.samples, saved, at))
        return _finish(inputs, folder, recorder, command, retention)


def _require_saving(inputs: TrainingInputs, folder: RunFolder, student: Student) -> None:
    """Check that there is room for what the run keeps, and that what lies beside the weights can be saved and read again."""
    model = plain_model(student.model)
    needed = run_bytes(model.num_parameters(), student.trainable_parameters, adapters=inputs.config.student.lora is not None,
                       variants=len(variants_of(inputs.config)), precision=inputs.save_precision)
    require_room(folder.path, needed, within=folder.path)
    seen = decode_text(inputs.tokenizer, inputs.data.validation.input_ids[0].tolist())
    rehearse_saving(folder.path, inputs.tokenizer, model, (seen,))


def _rehearse(inputs: TrainingInputs, folder: RunFolder, recorder: Recorder, student: Student, evaluation: LanguageEvaluation,
              retention: Scoring | None) -> None:
    """Try in small what comes after training."""
    recorder.event(Phase("try later stages"))
    cuda = [inputs.device] if inputs.device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):  # the student's own draws stay what they are
        measured = evaluation.rehearse(student.model)
        rehearse_documents(folder.path, inputs.config, _report(inputs, folder, "", stopped=False), variants_of(inputs.config), measured)
        rehearse_card(inputs, folder, recorder, student, retention)


def _curve(inputs: TrainingInputs, recorder: Recorder, evaluator: Evaluator, evaluation: LanguageEvaluation, first: FirstMeasurements,
           variant: str, student: Student) -> Evaluate:
    """Return what measures the held-out curves of a variant during its training."""
    def point(step: int) -> dict[str, float]:
        if first.measure():
            recorder.event(Phase("steps", variant, total_steps=steps_of(inputs)))  # the evaluations are over
        if step >= steps_of(inputs):  # the last point and the last answers are those of the saved student
            return {}
        metrics = evaluation.language(student.model, TRAINING)
        evaluator.show(variant, step, evaluation.samples(student.model, TRAINING))
        return curve_metrics(metrics)

    return point


def _finish(inputs: TrainingInputs, folder: RunFolder, recorder: Recorder, command: str, retention: Scoring | None) -> RunReport:
    """Write the model cards, measure the retention card, and write the report."""
    folder.remove_checkpoints()
    report = _report(inputs, folder, command, stopped=False)
    _write_documents(inputs.config, folder, report)  # whatever becomes of the card, what was trained is complete
    if retention is not None:
        card = measure_card(inputs, folder, recorder, retention)
        report = replace(_report(inputs, folder, command, stopped=False), retention=card)
        _write_documents(inputs.config, folder, report)
    folder.write_report(report)
    recorder.event(report)
    return report


def _write_documents(config: ExperimentConfig, folder: RunFolder, report: RunReport) -> None:
    for variant in variants_of(config):
        write_folder_documents(folder.path / variant, config, report, variant=variant)


def _shape(student: Student) -> dict[str, Any]:
    """Return the sizes of a student as reports hold them."""
    config = plain_model(student.model).config.get_text_config()
    return {"parameters": student.parameters, "trainable_parameters": student.trainable_parameters,
            "layers": config.num_hidden_layers, "layer_map": student.layer_map and list(student.layer_map)}


def _report(inputs: TrainingInputs, folder: RunFolder, command: str, *, stopped: bool) -> RunReport:
    """Return everything known of a run."""
    config, progress, data = inputs.config, folder.progress, inputs.data
    student = {"name": config.name or STUDENT, **progress.shape}
    return RunReport(
        str(folder.path / STUDENT), inputs.teacher_summary(), StudentSummary.from_dict(student),
        {subject: progress.measurements.get(subject) for subject in (TEACHER, STUDENT_BEFORE, STUDENT_AFTER, CONTROL)},
        CorpusSummary(data.digest, len(data.train), data.train.documents, round(data.train.padding, 4)), round(folder.seconds, 1),
        progress.tokens.get(STUDENT, 0), round(progress.speed.get(STUDENT, 0.0), 1), stopped, command,
        signals=SignalsSummary.from_dict(progress.kept_answers) if progress.kept_answers else None)
