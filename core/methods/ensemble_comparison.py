"""What one student keeps of the gain of an ensemble of language models, over seeds (1503.02531, section 3).

    for each seed:
        distil     the student from the ensemble, and the same student on hard labels: the control     core.methods.distillation
        distil     the same student from the first member alone, for the same tokens
    measure        every member, on the same held-out blocks
    report

The student and the control of the first seed are the run's own. Of the others the reports are kept:

    <folder>/repetitions/<seed>-ensemble/report.json, <seed>-member/report.json, members.json

A distillation that was stopped resumes, and one whose report is there is not repeated.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from core.config import DistillConfig
from core.events import CONTROL, STUDENT, STUDENT_AFTER, TEACHER, Event, Headway, RunWarning, TrainingNetwork
from core.methods.distillation import distill
from core.methods.evaluator import LanguageEvaluation
from core.methods.run_folder import RunFolder
from core.methods.steps import Load, load_inputs
from core.models import catalog
from core.models.ensembles import ONE_MEMBER, EnsembleReference, require_ensemble
from core.recorder import NullRecorder, Recorder, StopRequested, stop_if_requested
from core.reports.ensemble_report import EnsembleSummary, Repetition
from core.reports.run_report import RunReport
from core.system.files import read_json, write_json

EACH = 3  # trainings of a seed: the student, its control, the student of one member
ERRORS: Literal["cross_entropy"] = "cross_entropy"
REPORT, MEMBERS = "report.json", "members.json"


def distill_and_compare(config: DistillConfig, recorder: Recorder, directory: Path, *, load: Load = catalog.load,
                        command: str = "") -> RunReport:
    """Distil an ensemble, and compare its student over seeds; or resume it.

    Args:
        recorder, directory, load, command: as in `core.methods.distillation.distill`, whose report this returns, with ``ensemble``.

    Raises:
        StopRequested: with the report of what is known so far.
        StillhouseError: as `core.methods.distillation.distill`; ConfigError for a teacher that is no ensemble.
    """
    seeds = config.evaluation.ensemble_seeds
    assert seeds is not None, "the recipe asks for the comparison"
    reference = require_ensemble(config.teacher.model, "evaluation.ensemble_seeds")
    if len(reference.members) == 1:
        recorder.event(RunWarning(ONE_MEMBER))
    run = _Comparison(config, reference, recorder, directory, load)
    report = distill(config, _Share(recorder, 0, EACH - 1, EACH * seeds, shown=True), directory, load=load, command=command)
    try:
        repetitions = [run.repetition(number, report) for number in range(seeds)]
    except StopRequested as stop:
        raise StopRequested(replace(report, stopped=True)) from stop
    report = replace(report, ensemble=EnsembleSummary(
        reference.members, reference.mean, config.losses.temperature, int(report.student_after["tokens"]), report.tokens,
        tuple(repetitions), ERRORS))
    write_json(directory / REPORT, report.to_dict())
    recorder.event(report)
    return report


@dataclass(frozen=True)
class _Comparison:
    """What the repetitions share."""

    config: DistillConfig
    reference: EnsembleReference
    recorder: Recorder
    directory: Path
    load: Load

    def repetition(self, number: int, first: RunReport) -> Repetition:
        """Return the errors of one seed, trained as far as they are not known.

        Args:
            first: the report of the run itself, which is the first seed's.
        """
        seed = self.config.train.seed + number
        several = first if number == 0 else self._distilled(
            f"{seed}-ensemble", self._variant(seed, self.config.teacher.model, control=True), EACH * number, EACH - 1)
        alone = self._distilled(f"{seed}-member", self._variant(seed, self.reference.members[0], control=False), EACH * number + 2, 1)
        found = {who: several.of(who)[ERRORS] for who in (TEACHER, STUDENT_AFTER, CONTROL)}
        return Repetition(seed, self._member_errors(), found[TEACHER], found[STUDENT_AFTER], found[CONTROL], self.reference.weights,
                          one_member=alone.student_after[ERRORS])

    def _variant(self, seed: int, teacher: str, *, control: bool) -> DistillConfig:
        """Return the recipe with another seed and teacher, measured at its end alone."""
        config = self.config
        evaluation = config.evaluation.model_copy(update={
            "ensemble_seeds": None, "retention": None, "sentiment_items": 0, "prompts": (), "min_evaluations": 1,
            "eval_steps": max(config.evaluation.eval_steps, config.train.max_steps or 1)})
        train = config.train.model_copy(update={"seed": seed, "report_to": ()})
        return config.model_copy(update={"teacher": config.teacher.model_copy(update={"model": teacher}), "train": train,
                                         "evaluation": evaluation, "control": control})

    def _distilled(self, name: str, config: DistillConfig, done: int, parts: int) -> RunReport:
        folder = self.directory / "repetitions" / name
        if (plain := read_json(folder / REPORT)) is None:
            stop_if_requested(self.recorder)
            total = EACH * (self.config.evaluation.ensemble_seeds or 1)
            self.recorder.event(TrainingNetwork(network=f"student of {'the ensemble' if config.control else config.teacher.model}",
                                                seed=config.train.seed, done=done, total=total))
            plain = distill(config, _Share(self.recorder, done, parts, total), folder, load=self.load).to_dict()
        for model in (STUDENT, CONTROL, "before", "logs"):  # the report is what counts of them
            shutil.rmtree(folder / model, ignore_errors=True)
        return RunReport.from_dict(plain)

    def _member_errors(self) -> tuple[float, ...]:
        """Return the errors of each member, which are those of models that are there: held-out blocks do not depend on the seed."""
        path = self.directory / "repetitions" / MEMBERS
        plain: Mapping[str, float] = read_json(path) or {}
        for member in self.reference.members:
            if member not in plain:
                stop_if_requested(self.recorder)
                config = self._variant(self.config.train.seed, member, control=False)
                inputs = load_inputs(config, RunFolder(self.directory), NullRecorder(), self.load)
                assert inputs.teacher is not None, "a member is loaded"
                evaluation = LanguageEvaluation.of(inputs, NullRecorder(self.recorder.should_stop))
                plain = {**plain, member: evaluation.language(inputs.teacher.model)[ERRORS]}
                write_json(path, plain)
        return tuple(plain[member] for member in self.reference.members)


@dataclass(frozen=True)
class _Share:
    """Records one distillation of a comparison: of the run's own everything but its report, of the others how far they are.

    Attributes:
        done, parts, total: trainings before this one, in it, and in all.
        shown: whether numbers and events are passed on.
    """

    recorder: Recorder
    done: int
    parts: int
    total: int
    shown: bool = False

    def log(self, variant: str, step: int, metrics: Mapping[str, float]) -> None:
        """Pass the numbers on, where they are shown."""
        if self.shown:
            self.recorder.log(variant, step, metrics)

    def event(self, event: Event) -> None:
        """Pass an event on; the share of the work is one of the whole comparison."""
        if isinstance(event, Headway):
            left = event.seconds_left
            if left is not None:  # a training to come takes about as long as one of this distillation
                left += (self.total - self.done - self.parts) * (left / (1 - event.share) / self.parts if event.share < 1 else 0.0)
            self.recorder.event(replace(event, share=(self.done + self.parts * event.share) / self.total, seconds_left=left))
        elif isinstance(event, RunWarning) or (self.shown and not isinstance(event, RunReport)):
            self.recorder.event(event)

    def should_stop(self) -> bool:
        """Return whether the user has requested a stop."""
        return self.recorder.should_stop()
