"""The comparison of a model's forms: load, export, score, time; with progress, and a stop between any two passes."""

from __future__ import annotations

import csv
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.config import DataSpec, TaskSpec
from core.errors import CompatibilityError
from core.evaluation.bootstrap import bootstrap_quantile
from core.evaluation.speed import latencies
from core.events import StudyPart
from core.export.exporting import FILES
from core.models import catalog, compatibility
from core.models.architectures import Objective
from core.models.entries import LoadedModel
from core.recorder import Recorder, stop_if_requested
from core.reports.deployment.forms import ModelForm, int8_form, torch_form
from core.reports.deployment.labelled import LabelledScores, labelled_scores, score_examples
from core.reports.deployment.language import LanguageScores, passages, score_passages
from core.reports.deployment.record import (
    EXPORT,
    FORM_NAMES,
    INT8,
    ITEMS,
    PARTS,
    STUDENT,
    TEACHER,
    Deployment,
    DeploymentRequest,
    FormFigures,
)
from core.reports.measure import BLOCKS, block_length_for, recorded_config
from core.system.devices import devices
from core.system.provenance import versions
from core.tasks.data import load_task

EXPORTING, SCORING, TIMING = 5, 25, 85  # percent of the progress at which each begins
SECONDS, ROUNDS = 20.0, 300  # budget of the timing, and rounds at most
WORST = 12  # items that are shown

Scores = LabelledScores | LanguageScores


def measure_deployment(request: DeploymentRequest, folder: Path, recorder: Recorder, *, seconds: float = SECONDS,
                       rounds: int = ROUNDS) -> Deployment:
    """Compare the forms of a model.

    Args:
        folder: gets the int8 export as ``int8/`` and every item as ``items.csv``; an export that is there is used again.
        recorder: gets a `StudyPart` for each part, and is queried for a stop.
        seconds, rounds: of the timing.

    Raises:
        StopRequested: the user requested a stop; an export that has ended is kept.
        CompatibilityError: models that do not fit each other or the data, or answer questions.
        ModelError, DataError, ExportError, NetworkError: as loading, reading and exporting raise them.
    """
    import torch

    began = time.monotonic()
    progress = Progress(recorder)
    progress.at(0, "Loading the models")
    student, teacher = (catalog.load(reference, dtype=torch.float32) if reference else None
                        for reference in (request.student, request.teacher))
    assert student is not None, "a student is always given"
    _require_comparable(student, teacher)
    progress.at(EXPORTING, "Exporting to int8")
    exported = int8_form(INT8, student, request.student, folder / EXPORT,
                         lambda text: progress.at(EXPORTING, f"Exporting to int8: {text[0].lower()}{text[1:]}"))
    forms = [*([torch_form(TEACHER, teacher)] if teacher is not None else []), torch_form(STUDENT, student), exported]
    scores, data = (_classified if student.entry.task == "classification" else _read)(request, forms, progress)
    progress.at(TIMING, f"Timing, {seconds:.0f} s at most")
    times = _timed(forms, scores.length, recorder, seconds, rounds)
    _write_items(folder / ITEMS, scores)
    baseline = forms[0].name
    names = {TEACHER: request.names[1] or "", STUDENT: request.names[0], INT8: request.names[0]}
    figures = {form.name: _figures(form, names[form.name], times[form.name], scores, baseline) for form in forms}
    items, distinct, unit = _counts(scores)
    return Deployment(
        student=request.names[0], teacher=request.names[1], task=student.entry.task, data=data,
        metric="accuracy" if isinstance(scores, LabelledScores) else "perplexity", items=items, distinct=distinct, unit=unit,
        length=scores.length, forms=figures, groups=tuple(scores.groups()), worst=tuple(scores.worst(INT8, baseline, WORST)),
        warnings=tuple(scores.warnings()), file=FILES["onnx-int8"], processor=devices()[-1].description, versions=versions(),
        date=time.strftime("%Y-%m-%d %H:%M"), seconds=round(time.monotonic() - began, 1),
        classes=scores.classes() if isinstance(scores, LabelledScores) else {})


class Progress:
    """Reports how far a comparison is, in percent; queried for a stop at every report."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder, self._reported = recorder, (-1, "")

    def at(self, percent: float, name: str) -> None:
        """Report that so much is done and what is done now. Raises StopRequested."""
        stop_if_requested(self._recorder)
        if (int(percent), name) != self._reported:
            self._reported = int(percent), name
            self._recorder.event(StudyPart(name, int(percent), PARTS))


def _require_comparable(student: LoadedModel, teacher: LoadedModel | None) -> None:
    if student.entry.task == "question_answering":
        raise CompatibilityError(f"'{student.entry.name}' answers questions, and is not exported yet.",
                                 "A classifier or a language model was expected.", "Measure it: python -m workbench evaluate",
                                 field="student")
    if teacher is None:
        return
    compatibility.require_same_task(teacher.entry, student.entry)
    if student.entry.task != "classification":
        compatibility.require_compatible(teacher, student)


def _classified(request: DeploymentRequest, forms: Sequence[ModelForm], progress: Progress) -> tuple[LabelledScores, str]:
    spec = TaskSpec(source=request.task) if request.task else _recorded_task(forms[-1].loaded)
    task = load_task(spec.model_copy(update={"max_items": request.items or spec.max_items}))
    found = {}
    for number, form in enumerate(forms):
        def scored(share: float, number: int = number, name: str = form.name) -> None:
            progress.at(SCORING + (TIMING - SCORING) * (number + share) / len(forms), f"Scoring the {FORM_NAMES[name].lower()}")

        found[form.name] = score_examples(form, task, scored)
    return labelled_scores(forms, task, found), task.name


def _recorded_task(student: LoadedModel) -> TaskSpec:
    config = recorded_config(student.entry)
    spec = getattr(config, "task", None)
    if not isinstance(spec, TaskSpec):
        raise CompatibilityError(f"'{student.entry.name}' does not say what it was fine-tuned on.",
                                 "A model of a run of this project records it.", "Name a labelled file or dataset.", field="task")
    return spec


def _read(request: DeploymentRequest, forms: Sequence[ModelForm], progress: Progress) -> tuple[LanguageScores, str]:
    from core.data.prepare import held_out_blocks

    student = forms[-1].loaded
    config = recorded_config(student.entry)
    spec = config.data if config is not None and request.text is None else DataSpec(source=request.text or DataSpec().source)
    spec = spec.model_copy(update={"block_length": min(spec.block_length, block_length_for([form.loaded.entry for form in forms]))})
    objective: Objective = "masked" if student.entry.task == "masked" else "causal"
    blocks = held_out_blocks(spec, student.tokenizer, objective).take(request.items or BLOCKS)
    return score_passages(forms, passages(blocks, student.tokenizer, objective), lambda share: progress.at(
        SCORING + (TIMING - SCORING) * share, "Scoring every form")), spec.source


def _timed(forms: Sequence[ModelForm], length: int, recorder: Recorder, seconds: float, rounds: int) -> dict[str, list[float]]:
    """Return the milliseconds of every pass of each form over one text of `length` tokens."""
    def passing(form: ModelForm) -> Any:
        ids = np.full((1, length), form.loaded.tokenizer.pad_token_id or 0, np.int64)
        ids[:] = np.random.default_rng(0).integers(0, len(form.loaded.tokenizer.get_vocab()) // 2 + 1, ids.shape)
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        inputs |= {"token_type_ids": np.zeros_like(ids)} if form.token_types else {}
        return lambda: form.predict(inputs)

    taken = latencies({form.name: passing(form) for form in forms}, recorder, seconds=seconds, rounds=rounds)
    return {name: [1000 * each for each in values] for name, values in taken.items()}


def _figures(form: ModelForm, model: str, times: Sequence[float], scores: Scores, baseline: str) -> FormFigures:
    compared = form.name != baseline
    return FormFigures(model, form.bytes, form.loaded.entry.parameters, bootstrap_quantile(times, 0.5), bootstrap_quantile(times, 0.95),
                       scores.quality(form.name), scores.loss(form.name, baseline) if compared else None,
                       scores.further(form.name, baseline) if compared else {})


def _counts(scores: Scores) -> tuple[int, int, str]:
    if isinstance(scores, LabelledScores):
        return len(scores.examples), len(set(scores.keys)), "items"
    blocks = len(np.unique(scores.given.rows))
    return blocks, blocks, "blocks"


def _write_items(path: Path, scores: Scores) -> None:
    head, rows = scores.table()
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(rows)
