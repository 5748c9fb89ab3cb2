"""A generalist, specialists for what it confuses, and one network distilled from both (1503.02531, section 5).

    load      items with labels, of which a fifth of the training items are held out        core.specialists.networks
    for each repetition, with a seed of its own:                                              core.specialists.experiment
        train     the generalist, and a specialist for each cluster of its confusions
        measure   each specialist beside the generalist, and both together
        distil    one network from both, and the same network from the generalist, from an ensemble of equal compute, and on labels
    measure, report

Networks that are trained are kept: called again on the same directory, a run trains those that are missing.

    <folder>/repetitions/<seed>/generalist/, specialist-1/, ..., student-specialists/, ..., result.json
    <folder>/panel/     generalist and specialists of the first repetition, with the covariance of the predictions
    <folder>/items.json what they say of a few test items
    <folder>/student/, control/     the students of both and of labels of the first repetition, as any run's models
"""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

from core.config import SpecialistsConfig
from core.events import CONTROL, STUDENT_AFTER, STUDENT_BEFORE, TEACHER, Phase
from core.methods.evaluator import Evaluator
from core.methods.room import require_room
from core.methods.run_folder import RunFolder
from core.methods.steps import Load
from core.models import catalog
from core.recorder import STUDENT, Recorder
from core.reports.run_report import ModelSummary, RunReport, StudentSummary, TaskSummary
from core.reports.specialist_items import ShownItems
from core.reports.specialists_card import write_student_documents
from core.reports.specialists_report import SeedResult, SpecialistsSummary
from core.specialists.clusters import require_possible
from core.specialists.experiment import NETWORK_BYTES, PANEL, TRAINED, Repetition, parts_of
from core.specialists.networks import SpecialistData, load_data, new_generalist, new_student
from core.specialists.opinions import shown_items
from core.specialists.panel import load_panel
from core.system.devices import resolve_device
from core.training.trackers import require_trackers

SHOWN_ITEMS = 200  # test items that the page offers
BYTES_A_NUMBER = 4


def train_specialists(config: SpecialistsConfig, recorder: Recorder, directory: Path, *, load: Load = catalog.load,
                      command: str = "") -> RunReport:
    """Train a generalist and its specialists, and distil one network from both; or resume it.

    Args:
        load: loads the encoder that a generalist is fine-tuned from, where the recipe names one.
        recorder, directory, command: as in `core.methods.distillation.distill`.

    Returns:
        The report: ``teacher`` is the panel, ``metrics`` are means over the repetitions, ``specialists`` has all numbers.

    Raises:
        StopRequested: with the report of what is known so far.
        StillhouseError: items, classes or clusters that cannot be; nothing half-made stays.
    """
    folder = RunFolder(directory)
    run = _Run.load(config, folder, recorder, command, load)
    with folder.stop_reported(lambda: run.report(stopped=True)):
        run.rehearse()
        for number in range(config.specialists.seeds):
            run.results.append(run.repetition(number).run())
            folder.save_progress()
        run.finish()
    report = run.report(stopped=False)
    folder.write_report(report)
    recorder.event(report)
    return report


class _Run:
    """What the repetitions share."""

    def __init__(self, config: SpecialistsConfig, folder: RunFolder, recorder: Recorder, command: str, data: SpecialistData,
                 device: str) -> None:
        self.config, self.folder, self.recorder, self.command = config, folder, recorder, command
        self.data, self.device = data, device
        self.results: list[SeedResult] = []

    @classmethod
    def load(cls, config: SpecialistsConfig, folder: RunFolder, recorder: Recorder, command: str, load: Load) -> _Run:
        """Read the items, and refuse what no training could put right."""
        require_trackers(config.train.report_to)
        device = resolve_device(config.train.device)
        recorder.event(Phase("prepare data"))
        data = load_data(config.specialists, load)
        folder.require_unchanged_data(data.data.digest, config.specialists.source)
        require_possible(config.specialists.clusters, config.specialists.size, len(data.data.labels))
        return cls(config, folder, recorder, command, data, str(device))

    def rehearse(self) -> None:
        """Check the room on the disk, and note the size of the student."""
        spec = self.config.specialists
        student, generalist = new_student(self.data, spec, 0), new_generalist(self.data, spec, 0)
        parameters, networks = student.num_parameters(), spec.seeds * (parts_of(spec) + spec.clusters)
        largest = max(parameters, generalist.num_parameters())
        require_room(self.folder.path, BYTES_A_NUMBER * largest * networks + NETWORK_BYTES, within=self.folder.path)
        layers = getattr(student.config, "num_hidden_layers", None) or 1 + len(student.config.hidden_sizes)
        self.folder.progress.shape = {"parameters": parameters, "trainable_parameters": parameters, "layers": layers, "layer_map": None}

    def repetition(self, number: int) -> Repetition:
        """Return one repetition, whose networks are kept in its folder."""
        config, each = self.config, parts_of(self.config.specialists)
        seed = config.train.seed + number
        folder = self.folder.path / "repetitions" / str(seed)
        folder.mkdir(parents=True, exist_ok=True)
        return Repetition(self.data, config.specialists, config.train, config.losses, seed, folder, self.recorder, self.device,
                          (number * each, config.specialists.seeds * each))

    def finish(self) -> None:
        """Put the first panel where the page looks for it, with a few test items, and measure the means over the repetitions."""
        first = self.repetition(0).folder

        def write_panel(unfinished: Path) -> None:
            load_panel(first / PANEL)  # a member that was deleted since is named here
            shutil.copytree(first / PANEL, unfinished)

        self.folder.make_once(PANEL, write_panel)
        self._shown_items().save(self.folder.path)
        numbers, items = self.summary().numbers, float(len(self.data.data.test))
        evaluator = Evaluator(self.folder, self.recorder, (STUDENT, CONTROL))
        for subject, name in ((TEACHER, "combined"), (STUDENT_AFTER, "student_of_specialists"), (CONTROL, "student_of_labels")):
            if name in numbers:
                evaluator.evaluate(subject, partial(dict, accuracy=numbers[name].value, items=items))
        if self.config.specialists.distil:
            for variant, name in ((STUDENT, "student-specialists"), (CONTROL, "student-labels")):
                self.folder.make_once(variant, partial(self._write_student, first / name, variant))

    def _write_student(self, trained: Path, variant: str, unfinished: Path) -> None:
        """Put a network of the first repetition, which is kept, where a run's models stand."""
        shutil.copytree(trained, unfinished, ignore=shutil.ignore_patterns(TRAINED))
        if self.data.tokenizer is not None:
            self.data.tokenizer.save_pretrained(unfinished)
        write_student_documents(unfinished, self.config, self.report(stopped=False), variant)

    def _shown_items(self) -> ShownItems:
        test = self.data.data.test.take(slice(0, SHOWN_ITEMS))
        # Colours become their mean: a picture shows what it is of.
        pixels = [] if self.data.tokenizer is not None else test.inputs["pixel_values"].mean(1).tolist()
        return shown_items(load_panel(self.folder.path / PANEL), test, self.data.texts[:SHOWN_ITEMS], pixels)

    def summary(self) -> SpecialistsSummary:
        """Return what the report says of the repetitions that are done; there is at least one."""
        return SpecialistsSummary(self.data.data.labels, len(self.data.data.test), len(self.data.data.train), self.data.best_accuracy,
                                  self.config.losses.temperature, self.data.groups is not None, tuple(self.results))

    def report(self, *, stopped: bool) -> RunReport:
        """Return everything known of the run."""
        progress, data = self.folder.progress, self.data.data
        kind = "classification" if self.data.tokenizer is not None else "image_classification"
        return RunReport(
            str(self.folder.path / PANEL), ModelSummary(f"generalist and specialists of {data.name}", None, None),
            StudentSummary.from_dict({"name": self.config.name or STUDENT, **progress.shape}),
            {subject: progress.measurements.get(subject) for subject in (TEACHER, STUDENT_BEFORE, STUDENT_AFTER, CONTROL)},
            TaskSummary(data.digest, data.name, kind, data.labels, len(data.train), len(data.test)),
            round(self.folder.seconds, 1), 0, 0.0, stopped, self.command, specialists=self.summary() if self.results else None)
