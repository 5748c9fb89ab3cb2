"""The two measurements that a run is compared with: of the teacher, and of the student before its first step.

Both take longer than many training steps, so that they come after the first of them, at the first evaluation. The untrained student is then
read back from the folder that it was saved in before the first step. What another run has measured already is there at once
(`core.methods.kept_measurements`).
"""

from __future__ import annotations

import shutil
from functools import partial

from torch import nn

from core.events import STUDENT_BEFORE, TEACHER
from core.methods.evaluator import Evaluator, LanguageEvaluation
from core.methods.run_folder import RunFolder
from core.methods.steps import TrainingInputs
from core.models.adapters import merge_adapters
from core.models.weight_digests import loaded_hash

BEFORE = "before"  # the folder of the untrained student


class FirstMeasurements:
    """Measures teacher and untrained student, once for all calls that resume a run.

    Args:
        inputs: of the run.
        folder: holds the untrained student; until it is measured only, where it is a model that is there anyway, or nobody compares it.
        evaluator: reports and remembers both.
        evaluation: measures them.
    """

    def __init__(self, inputs: TrainingInputs, folder: RunFolder, evaluator: Evaluator, evaluation: LanguageEvaluation) -> None:
        self.inputs, self.folder, self.evaluator, self.evaluation = inputs, folder, evaluator, evaluation
        self._untrained = ""

    def begin(self, student: nn.Module) -> None:
        """Save the untrained student, and report at once what is known.

        Args:
            student: before its first step, as it was built.
        """
        if self._done(STUDENT_BEFORE) and (self.folder.has_model(BEFORE) or not self._kept):
            return
        plain = merge_adapters(student)
        self.folder.save_model(BEFORE, plain, self.inputs.tokenizer, self.inputs.save_precision)
        self._untrained = f"{loaded_hash(plain)} {self.inputs.save_precision}"  # as saved, which rounds
        if self.inputs.teacher is not None and self.evaluation.known(self.evaluation.teacher_hash()):
            self._measure_teacher()
        if self.evaluation.known(self._untrained):
            self._measure_student(student)

    def measure(self) -> bool:
        """Measure what is not measured yet, and return whether there was anything. Raises StopRequested; a later call measures again."""
        open_ = not self._done(STUDENT_BEFORE) or not (self._done(TEACHER) or self.inputs.config.teacher is None)
        self._measure_teacher()
        if not self._done(STUDENT_BEFORE):
            self._measure_student(self.inputs.read_back(self.folder.path / BEFORE))
        return open_

    def _measure_teacher(self) -> None:
        if self.inputs.teacher is not None:
            model = self.inputs.teacher.model
            self.evaluator.evaluate(TEACHER, lambda: self.evaluation.shared_metrics(model, self.evaluation.teacher_hash(), TEACHER))
        elif self.inputs.served is not None:
            self.evaluator.evaluate(TEACHER, self.evaluation.served)

    def _measure_student(self, model: nn.Module) -> None:
        at = str((self.folder.path / BEFORE).absolute())
        self.evaluator.evaluate(STUDENT_BEFORE, lambda: self.evaluation.shared_metrics(model, self._untrained, at),
                                partial(self.evaluation.samples, model, at))
        if not self._kept:
            shutil.rmtree(self.folder.path / BEFORE, ignore_errors=True)

    @property
    def _kept(self) -> bool:
        """Whether the untrained student stays: beside a teacher, for the retention card, or with new weights that a method reads with."""
        config = self.inputs.config
        return config.teacher is not None or config.evaluation.retention is not None or (
            self.inputs.corpus is not None and (config.student.model is None or config.student.init == "random"))

    def _done(self, subject: str) -> bool:
        return subject in self.folder.progress.measurements
