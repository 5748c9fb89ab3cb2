"""Basic Reading Distillation: a student is trained on a teacher's notes about plain text, and examined on tasks that it never saw.

    annotate    core.reading.annotation: paragraphs -> notes, resumable
    compose     core.reading.streams, core.reading.tasks: notes -> documents; tasks without items that share words with them
    train       core.methods.distillation.distill, alone or with the answers of a teacher that is loaded
    score       core.reading.scoring, before and after
    together    core.reading.together: what teacher and student note of the same sentences

A run like any other: called again on the same directory it resumes. ``notes/`` in its folder holds the Arrow dataset.
"""

from __future__ import annotations

from pathlib import Path

import torch

from core.config import ReadingConfig
from core.config.reading import ORACLE
from core.methods.distillation import distill
from core.methods.first_measurements import BEFORE
from core.methods.run_folder import RunFolder
from core.methods.steps import Load
from core.models import catalog
from core.reading.annotation import Annotation, annotate
from core.reading.context import readers, require_context
from core.reading.corpus import ReadingCorpus, held_out_texts
from core.reading.tasks import load_tasks
from core.reading.texts import text_paragraphs
from core.reading.together import FILE, chosen_sentences, student_notes, write_together
from core.recorder import STUDENT, Recorder
from core.reports.run_report import RunReport, StudentSummary
from core.system.devices import resolve_device

NOTES = "notes"  # the folder of the Arrow dataset


def read_and_train(config: ReadingConfig, recorder: Recorder, directory: Path, *, load: Load = catalog.load,
                   command: str = "") -> RunReport:
    """Annotate, train and score; or resume any of them.

    Args:
        recorder, directory, load, command: as in `core.methods.distillation.distill`, whose report this returns, with
            ``reading_accuracy`` and ``reading_<task>`` among the metrics.

    Raises:
        StopRequested: with the report of what is known so far; while notes are taken without ``data``.
        CompatibilityError: a model that is scored cannot read every item.
        StillhouseError: as `core.reading.annotation.annotate`, `core.reading.tasks.load_tasks` and `core.methods.distillation.distill`.
    """
    folder, spec = RunFolder(directory), config.reading
    held_out = held_out_texts(spec, config.data)
    tasks = load_tasks(spec, ())  # read now, so that a task that cannot be read fails before any note is taken
    if spec.model != ORACLE and not (folder.path / NOTES).is_dir():  # else there is nothing to wait for: the first step is near
        require_context(spec.exam, tasks, readers(config, load))
    with folder.stop_reported(lambda: _report(config, folder, command)):
        annotated = take_notes(config, recorder, load)
    folder.make_once(NOTES, annotated.save)
    tasks = load_tasks(spec, annotated.paragraphs)
    corpus = ReadingCorpus(spec, config.data, annotated.paragraphs, held_out, tasks, config.train.seed)
    report = distill(config, recorder, directory, load=load, command=command, corpus=corpus)
    _read_together(config, folder, annotated, load)
    return report


def _read_together(config: ReadingConfig, folder: RunFolder, annotated: Annotation, load: Load) -> None:
    """Keep what teacher and student note of a few sentences, before and after, for people to compare."""
    chosen = chosen_sentences(annotated.paragraphs)
    if not chosen or (folder.path / FILE).is_file():
        return
    sentences, separator, found = [each.sentence for each in chosen], config.reading.separator, {}
    before = str(folder.path / BEFORE) if folder.has_model(BEFORE) else config.student.model
    for name, reference in (("before", before), ("after", str(folder.path / STUDENT))):
        if reference is not None:
            loaded = load(reference, device=resolve_device(config.train.device), dtype=torch.float32)
            found[name] = student_notes(loaded.model, loaded.tokenizer, sentences, separator)
    write_together(folder.path, chosen, found.get("before", {}), found["after"])


def take_notes(config: ReadingConfig, recorder: Recorder, load: Load = catalog.load) -> Annotation:
    """Take the notes of a recipe, or resume it. Raises as `core.reading.annotation.annotate`."""
    from core.reading.teachers import identity_of, reading_teacher

    spec = config.reading
    return annotate(spec, lambda: text_paragraphs(config.data, "train"), recorder,
                    lambda: reading_teacher(spec, load, config.train.device), identity_of(spec), origin=config.data.source)


def _report(config: ReadingConfig, folder: RunFolder, command: str) -> RunReport:
    """Return the report of a run that was stopped while notes were taken."""
    return RunReport(str(folder.path / STUDENT), teacher=None, student=StudentSummary(config.name or STUDENT), metrics={}, data=None,
                     seconds=0.0, tokens=0, tokens_per_second=0.0, stopped=True, command=command)
