"""What each classifier of a run says of every held-out item, kept until the run has ended, for its report by class.

A resumed run does not measure again what an earlier call has measured, so that what it said lies in the run's folder meanwhile.

    <folder>/teacher.npy, student_after.npy    float32 logits (items, labels), in the order of the task's labels
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from core.events import STUDENT_AFTER, TEACHER
from core.reports.class_scores import ClassReport, class_scores, mistakes
from core.tasks.data import Example, TaskData, of_type


class KeptLogits:
    """The logits in a folder, which is made when the first are kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keeper(self, subject: str) -> Callable[[np.ndarray], None]:
        """Return what keeps the logits of a subject (`core.events.STAGES`), in place of earlier ones."""
        def keep(logits: np.ndarray) -> None:
            self.folder.mkdir(parents=True, exist_ok=True)
            np.save(self.folder / f"{subject}.npy", logits.astype(np.float32))

        return keep

    def report(self, task: TaskData) -> ClassReport | None:
        """Return the scores of teacher and trained student; None for questions, and where nothing of the student was kept."""
        if task.kind != "classification":
            return None
        items = of_type(task.validation, Example)
        right = np.array([item.label for item in items])
        texts = [item.text if item.pair is None else f"{item.text}\n{item.pair}" for item in items]
        found = {}
        for subject in (TEACHER, STUDENT_AFTER):
            path = self.folder / f"{subject}.npy"
            logits = np.load(path) if path.is_file() else np.empty(0)
            if len(logits) == len(items):
                found[subject] = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        if STUDENT_AFTER not in found:
            return None
        return ClassReport({subject: class_scores(values, right, task.labels, texts) for subject, values in found.items()},
                           mistakes(found, STUDENT_AFTER, right, task.labels, texts))

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
