"""Basic Reading Distillation: a student is trained on a teacher's notes about plain text, and examined on tasks that it never saw.

    annotate    core.reading.annotation: paragraphs -> notes, resumable
    compose     core.reading.streams, core.reading.tasks: notes -> documents; tasks without items that share words with them
    train       core.methods.distillation.distill, alone or with the answers of a teacher that is loaded
    score       core.reading.scoring, before and after

A run like any other: called again on the same directory it resumes. ``notes/`` in its folder holds the Arrow dataset.
"""

from __future__ import annotations

from pathlib import Path

from core.config import ReadingConfig
from core.methods.distillation import distill
from core.methods.run_folder import RunFolder
from core.methods.steps import Load
from core.models import catalog
from core.reading.annotation import Annotation, annotate
from core.reading.corpus import ReadingCorpus, held_out_texts, text_paragraphs
from core.reading.tasks import load_tasks
from core.recorder import STUDENT, Recorder
from core.reports.run_report import RunReport, StudentSummary


def read_and_train(config: ReadingConfig, recorder: Recorder, directory: Path, *, load: Load = catalog.load,
                   command: str = "") -> RunReport:
    """Annotate, train and score; or resume any of them.

    Args:
        recorder, directory, load, command: as in `core.methods.distillation.distill`, whose report this returns, with
            ``reading_accuracy`` and ``reading_<task>`` among the metrics.

    Raises:
        StopRequested: with the report of what is known so far; while notes are taken without ``data``.
        StillhouseError: as `core.reading.annotation.annotate`, `core.reading.tasks.load_tasks` and `core.methods.distillation.distill`.
    """
    folder, spec = RunFolder(directory), config.reading
    held_out = held_out_texts(spec, config.data)
    load_tasks(spec, ())  # read now, so that a task that cannot be read fails before any note is taken
    with folder.stop_reported(lambda: _report(config, folder, command)):
        annotated = take_notes(config, recorder, load)
    folder.make_once("notes", annotated.save)
    tasks = load_tasks(spec, annotated.paragraphs)
    corpus = ReadingCorpus(spec, config.data, annotated.paragraphs, held_out, tasks, config.train.seed)
    return distill(config, recorder, directory, load=load, command=command, corpus=corpus)


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
