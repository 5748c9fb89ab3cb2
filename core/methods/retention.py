"""The retention card of a run: what its student is compared with, tried in small before the first step, and measured at the end.

    a student that is distilled                    with its teacher
    one that reads the notes of a model            with that model
    one that reads an oracle's or a server's       with itself before training: neither has weights here
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import torch

from core.config import ReadingConfig
from core.events import STUDENT_BEFORE, TEACHER
from core.methods.first_measurements import BEFORE
from core.methods.rehearsal import one_block, rehearse_exports
from core.methods.run_folder import RunFolder
from core.methods.shared_scores import share_scores
from core.methods.steps import TrainingInputs, variants_of
from core.models import catalog
from core.models.architectures import plain_model
from core.models.entries import LoadedModel
from core.recorder import CONTROL, STUDENT, Recorder
from core.reports.retention_card import READING_TEACHER, Card
from core.reports.retention_run import measure_retention, one_by_one
from core.reports.task_scores import Scoring, scoring
from core.students.build import Student
from core.system import ranks


@dataclass(frozen=True, slots=True)
class Compared:
    """What a card compares the student with.

    Attributes:
        kind: of its row, which is the first.
        reference: the model reference that leads to it.
        name: for people; None for the model's own.
    """

    kind: str
    reference: str
    name: str | None = None


def compared_with(inputs: TrainingInputs, folder: RunFolder) -> Compared:
    """Return what the card of a run compares its student with."""
    config = inputs.config
    if inputs.teacher is not None:
        assert config.teacher is not None, "what was loaded is named"
        return Compared(TEACHER, config.teacher.model, inputs.teacher.entry.name)
    if isinstance(config, ReadingConfig) and config.reading.is_loaded:
        return Compared(READING_TEACHER, config.reading.model)
    return Compared(STUDENT_BEFORE, str((folder.path / BEFORE).absolute()), config.name or STUDENT)


def compared_parameters(inputs: TrainingInputs, parameters: int) -> int:
    """Return the parameters of what the card compares a student of so many with."""
    if inputs.teacher is not None:
        return inputs.teacher.entry.parameters
    config = inputs.config
    if isinstance(config, ReadingConfig) and config.reading.is_loaded:
        return catalog.describe(config.reading.model).parameters
    return parameters


def card_scoring(inputs: TrainingInputs, recorder: Recorder) -> Scoring | None:
    """Return how the models of the card are scored, if the recipe asks for the card."""
    spec, train = inputs.config.evaluation.retention, inputs.config.train
    if spec is None:
        return None
    return scoring(spec, inputs.objective.name, recorder, seed=train.seed, device=inputs.device, load=inputs.load)


def rehearse_card(inputs: TrainingInputs, folder: RunFolder, recorder: Recorder, student: Student, retention: Scoring | None) -> None:
    """Score and export models of one block, before anything is trained."""
    spec = inputs.config.evaluation.retention
    if retention is None or spec is None:
        return
    whole = _whole(inputs, folder, student)
    small = {who: one_block(loaded, loaded.model, who) for who, loaded in whole.items()}
    retention.rehearse(small[STUDENT])
    if READING_TEACHER in small:  # it has a vocabulary of its own
        retention.rehearse(small[READING_TEACHER])
    if spec.exports:
        rehearse_exports(whole, small, recorder)


def _whole(inputs: TrainingInputs, folder: RunFolder, student: Student) -> dict[str, LoadedModel]:
    """Return the untrained student and what it is compared with, by kind of row."""
    if inputs.teacher is not None:
        return {TEACHER: inputs.teacher, STUDENT: replace(inputs.teacher, model=plain_model(student.model))}
    first = compared_with(inputs, folder)
    before = inputs.load(str(folder.path / BEFORE), device=inputs.device, dtype=torch.float32)
    if first.kind == STUDENT_BEFORE:
        return {STUDENT_BEFORE: before, STUDENT: before}
    return {first.kind: inputs.load(first.reference, device=inputs.device, dtype=torch.float32), STUDENT: before}


def measure_card(inputs: TrainingInputs, folder: RunFolder, recorder: Recorder, retention: Scoring) -> Card:
    """Measure the card of a run whose models are saved, or resume it."""
    config, variants, spec = inputs.config, variants_of(inputs.config), inputs.config.evaluation.retention
    assert spec is not None, "its scoring was made of it"
    first = compared_with(inputs, folder)
    models = {first.kind: first.reference, **{variant: str((folder.path / variant).absolute()) for variant in variants}}
    names = {STUDENT: config.name or STUDENT, CONTROL: CONTROL} | ({first.kind: first.name} if first.name is not None else {})
    card = folder.path / "retention"
    each = one_by_one if ranks.world() == 1 else partial(
        share_scores, config=config, objective=inputs.objective.name, folder=card / "shared", models=models, recorder=recorder)
    return measure_retention(models, spec, recorder, card, retention, names=names, load=inputs.load, each=each)
