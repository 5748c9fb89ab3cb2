"""The mean of several classifiers of images, distilled into one (1503.02531, sections 2 to 4).

    load      images, and the members that are there                          core.classification
    for each repetition, with a seed of its own:
        train     the members that are not there
        mix       their distributions at the temperature, with equal, given or fitted weights
        train     the student on the mean, and the same student on hard labels alone
    measure, save, report

What counts is the share of the ensemble's gain over hard labels that one student keeps. Networks that are trained are kept: called again
on the same directory, a run trains those that are missing and measures all of them again.

    <folder>/repetitions/1/member-1/, ..., student/, control/     control: hard labels alone
    <folder>/student/                                             the student of the first repetition
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from core.classification.augmenting import jitter
from core.classification.bias import choose_shift, shift_bias, shifted
from core.classification.images import load_images
from core.classification.items import ClassificationData, Items
from core.classification.models import load_image_classifier, new_mlp, require_labels
from core.classification.predicting import measure, predict_logits, recall
from core.classification.training import LABELS_ONLY, train_classifier
from core.config import EnsembleConfig, LossSpec, MemberSpec, MlpSpec, TrainSpec
from core.errors import CompatibilityError, DataError, StillhouseError
from core.events import CONTROL, STUDENT_AFTER, STUDENT_BEFORE, TEACHER, Phase, RunWarning, TrainingNetwork
from core.methods.evaluator import Evaluator
from core.methods.rehearsal import rehearse_documents
from core.methods.room import require_room
from core.methods.run_folder import RunFolder
from core.methods.steps import Load
from core.models import catalog
from core.models.architectures import on_device
from core.models.ensembles import ONE_MEMBER
from core.models.entries import LoadedModel
from core.models.mixtures import fitted_weights, mixed_logits
from core.recorder import STUDENT, NullRecorder, Recorder, stop_if_requested
from core.reports.ensemble_report import EnsembleSummary, Omitted, Repetition
from core.reports.model_card import write_folder_documents
from core.reports.run_report import ModelSummary, RunReport, StudentSummary, TaskSummary
from core.system.devices import resolve_device
from core.training.trackers import require_trackers

BYTES_A_NUMBER = 4


def distill_ensemble(config: EnsembleConfig, recorder: Recorder, directory: Path, *, load: Load = catalog.load,
                     command: str = "") -> RunReport:
    """Train or load the members, distil their mean, and compare the student with the same one on hard labels; or resume it.

    Args:
        recorder, directory, load, command: as in `core.methods.distillation.distill`.

    Returns:
        The report: ``teacher`` is the ensemble, ``metrics`` are means over the repetitions, ``ensemble`` has all numbers.

    Raises:
        StopRequested: with the report of what is known so far.
        DataError, CompatibilityError: images, classes or members that do not fit each other; nothing half-made stays.
    """
    folder = RunFolder(directory)
    run = _Run.load(config, folder, recorder, load, command)
    with folder.stop_reported(lambda: run.report(stopped=True)):
        run.rehearse()
        for repetition in range(config.ensemble.seeds):
            run.repetitions.append(run.repeat(repetition))
        run.finish()
    report = run.report(stopped=False)
    write_folder_documents(folder.path / STUDENT, config, report)
    folder.write_report(report)
    recorder.event(report)
    return report


@dataclass(frozen=True)
class _Network:
    """A network of a repetition.

    Attributes:
        name: of its folder.
        words: what progress calls it.
        spec: its shape; whether it is there already is `model`'s to say.
        model: one that is there; None for one that is trained.
    """

    name: str
    words: str
    spec: MlpSpec
    model: LoadedModel | None = None


class _Run:
    """Everything that the repetitions share."""

    def __init__(self, config: EnsembleConfig, folder: RunFolder, recorder: Recorder, command: str, data: ClassificationData,
                 members: list[_Network], device: torch.device) -> None:
        self.config, self.folder, self.recorder, self.command = config, folder, recorder, command
        self.data, self.members, self.device = data, members, device
        self.omitted = [data.class_number(label) for label in config.images.omit_classes]
        self.transfer = data.train.without_classes(self.omitted) if self.omitted else data.train
        self.repetitions: list[Repetition] = []
        self.trained = self.seen = 0

    @classmethod
    def load(cls, config: EnsembleConfig, folder: RunFolder, recorder: Recorder, load: Load, command: str) -> _Run:
        """Read images and members, and compare them."""
        require_trackers(config.train.report_to)
        device = resolve_device(config.train.device)
        recorder.event(Phase("prepare data"))
        data = load_images(config.images)
        folder.require_unchanged_data(data.digest, config.images.source)
        recorder.event(Phase("load models"))
        members: list[_Network] = []
        for member in config.ensemble.members:
            members += _networks(member, len(members), data, load)
        run = cls(config, folder, recorder, command, data, members, device)
        if len(run.transfer) == 0:
            raise DataError("The transfer set is empty: every class is left out.", "At least one class was expected to stay.",
                            "Leave fewer classes out.", field="images.omit_classes")
        absent = [data.labels[label] for label in run.omitted if not bool((data.validation.targets == label).any())]
        if absent:
            raise DataError(f"No image of {', '.join(absent)} is among those that things are chosen on.",
                            "At least one was expected, since b is chosen there.", "Hold more images out.",
                            field="images.validation_fraction")
        if config.ensemble.size == 1:
            recorder.event(RunWarning(ONE_MEMBER))
        return run

    @property
    def networks(self) -> list[_Network]:
        """All networks of a repetition, in the order in which they are trained."""
        student = self.config.ensemble.student
        return [*self.members, _Network(STUDENT, "student", student), _Network(CONTROL, "student of hard labels", student)]

    def rehearse(self) -> None:
        """Check the room on the disk, and try the documents that are written at the end."""
        student = new_mlp(self.config.ensemble.student, self.data, 0)
        sizes = [new_mlp(each.spec, self.data, 0).num_parameters() for each in self.networks if each.model is None]
        require_room(self.folder.path, BYTES_A_NUMBER * self.config.ensemble.seeds * sum(sizes), within=self.folder.path)
        self.folder.progress.shape = {"parameters": student.num_parameters(), "trainable_parameters": student.num_parameters(),
                                      "layers": len(self.config.ensemble.student.hidden), "layer_map": None}
        evaluator = Evaluator(self.folder, self.recorder, (STUDENT, CONTROL))
        evaluator.evaluate(STUDENT_BEFORE, lambda: self._metrics(predict_logits(student, self.data.test)))
        rehearse_documents(self.folder.path, self.config, self.report(stopped=False), (STUDENT,),
                           self.folder.progress.measurements[STUDENT_BEFORE])

    def repeat(self, repetition: int) -> Repetition:
        """Carry out one repetition, as far as it is not done."""
        spec, seed = self.config.ensemble, self.config.train.seed + repetition
        on_transfer, on_validation, on_test = [], [], []
        for number, member in enumerate(self.members):
            model = self._member(member, number, repetition)
            on_transfer.append(predict_logits(model, self.transfer))
            on_validation.append(predict_logits(model, self.data.validation))
            on_test.append(predict_logits(model, self.data.test))
        weights = spec.constant_weights or fitted_weights(on_validation, self.data.validation.targets, spec.mean)
        losses = self.config.losses
        soft = mixed_logits(on_transfer, weights, spec.mean, losses.temperature)
        student = self._student(STUDENT, repetition, losses, soft)
        control = self._student(CONTROL, repetition, LABELS_ONLY, None)
        mean = mixed_logits(on_test, weights, spec.mean, 1.0)
        answers = {who: predict_logits(model, self.data.test) for who, model in ((STUDENT, student), (CONTROL, control))}
        found: list[Omitted] = []
        if self.omitted:
            answers[STUDENT], found = self._corrected(student, control, answers)
        errors = {who: measure(logits, self.data.test.targets)["errors"] for who, logits in answers.items()}
        return Repetition(seed, tuple(measure(each, self.data.test.targets)["errors"] for each in on_test),
                          measure(mean, self.data.test.targets)["errors"], errors[STUDENT], errors[CONTROL],
                          tuple(round(each, 4) for each in weights), tuple(found))

    def _corrected(self, student: torch.nn.Module, control: torch.nn.Module, answers: dict[str, Tensor]) -> tuple[Tensor, list[Omitted]]:
        """Return the student's answers with its biases corrected, one class after the other, and what became of each class."""
        held_out, targets = self.data.validation, self.data.test.targets
        chosen_on = {who: predict_logits(model, held_out) for who, model in ((STUDENT, student), (CONTROL, control))}
        logits, found = answers[STUDENT], []
        for label in self.omitted:
            before = recall(logits, targets, label)
            b, own = (choose_shift(chosen_on[who], held_out.targets, [label]).b for who in (STUDENT, CONTROL))
            logits, chosen_on[STUDENT] = shifted(logits, [label], b), shifted(chosen_on[STUDENT], [label], b)
            found.append(Omitted(self.data.labels[label], b, before, recall(logits, targets, label),
                                 recall(shifted(answers[CONTROL], [label], b), targets, label), own,
                                 recall(shifted(answers[CONTROL], [label], own), targets, label)))
        return logits, found

    # ------------------------------------------------------------------------------------------ networks

    def _member(self, member: _Network, number: int, repetition: int) -> torch.nn.Module:
        if member.model is not None:
            return member.model.model
        spec, train = member.spec, self.config.train
        assert isinstance(spec, MemberSpec), "members are described as such"
        changes = {"num_train_epochs": spec.num_train_epochs, "learning_rate": spec.learning_rate}
        train = train.model_copy(update={key: value for key, value in changes.items() if value is not None}
                                 | ({"max_steps": None} if spec.num_train_epochs is not None else {}))
        return self._network(member, repetition, self.data.train, train, LABELS_ONLY, None)

    def _student(self, variant: str, repetition: int, losses: LossSpec, soft: Tensor | None) -> torch.nn.Module:
        network = next(each for each in self.networks if each.name == variant)
        return self._network(network, repetition, self.transfer, self.config.train, losses, soft)

    def _network(self, network: _Network, repetition: int, items: Items, train: TrainSpec, losses: LossSpec,
                 soft: Tensor | None) -> torch.nn.Module:
        """Return a network of a repetition: the saved one, or trained now and saved."""
        trained_each = sum(each.model is None for each in self.networks)
        self.recorder.event(TrainingNetwork(network=network.words, seed=self.config.train.seed + repetition, done=self.trained,
                                            total=self.config.ensemble.seeds * trained_each))
        stop_if_requested(self.recorder)
        # Student and control begin as the same network and see the images in the same order.
        seed = _seed(self.config.train.seed, repetition, "student" if network.name in (STUDENT, CONTROL) else network.name)
        shown = repetition == 0 and network.name in (STUDENT, CONTROL)
        recorder = self.recorder if shown else NullRecorder(self.recorder.should_stop)

        def write(unfinished: Path) -> None:
            model = on_device(new_mlp(network.spec, self.data, seed), self.device)
            done = train_classifier(model, items, train=train.model_copy(update={"seed": seed}), losses=losses, soft_targets=soft,
                                    held_out=self.data.validation if shown else None, augment=jitter(network.spec.jitter),
                                    recorder=recorder, variant=network.name)
            if shown:
                self.folder.progress.steps[network.name] = done.steps
            model.save_pretrained(unfinished)

        path = self.folder.make_once(f"repetitions/{repetition + 1}/{network.name}", write)
        self.trained += 1
        return on_device(load_image_classifier(path), self.device)

    # ------------------------------------------------------------------------------------------ results

    def finish(self) -> None:
        """Measure the means over the repetitions, and put the first student, its bias corrected, where a run's student stands."""
        evaluator = Evaluator(self.folder, self.recorder, (STUDENT, CONTROL))
        summary, items = self.summary(), len(self.data.test)
        for subject, who in ((TEACHER, "ensemble"), (STUDENT_AFTER, STUDENT), (CONTROL, "hard_labels")):
            errors = summary.errors(who).value
            evaluator.evaluate(subject, partial(_mean_metrics, errors, items))

        def write(unfinished: Path) -> None:
            model = load_image_classifier(self.folder.path / "repetitions" / "1" / STUDENT)
            for each in self.repetitions[0].omitted:
                shift_bias(model, [self.data.class_number(each.label)], each.b)
            model.save_pretrained(unfinished)

        self.folder.make_once(STUDENT, write)

    def summary(self) -> EnsembleSummary:
        """Return what the report says of the repetitions that are done; there is at least one."""
        names = tuple(each.model.entry.name if each.model is not None else each.name for each in self.members)
        return EnsembleSummary(names, self.config.ensemble.mean, self.config.losses.temperature, len(self.data.test), len(self.transfer),
                               tuple(self.repetitions))

    def report(self, *, stopped: bool) -> RunReport:
        """Return everything known of the run."""
        progress, data = self.folder.progress, self.data
        student = {"name": self.config.name or STUDENT, **progress.shape}
        size = f"{self.config.ensemble.mean} mean of {len(self.members)} classifiers"
        return RunReport(
            str(self.folder.path / STUDENT), ModelSummary(size, None, None), StudentSummary.from_dict(student),
            {subject: progress.measurements.get(subject) for subject in (TEACHER, STUDENT_BEFORE, STUDENT_AFTER, CONTROL)},
            TaskSummary(data.digest, data.name, "image_classification", data.labels, len(data.train), len(data.test)),
            round(self.folder.seconds, 1), 0, 0.0, stopped, self.command, ensemble=self.summary() if self.repetitions else None)

    def _metrics(self, logits: Tensor) -> dict[str, float]:
        return _mean_metrics(measure(logits, self.data.test.targets)["errors"], len(self.data.test))


def _networks(member: MemberSpec, before: int, data: ClassificationData, load: Load) -> Iterator[_Network]:
    """Yield the networks of one entry of the recipe."""
    for number in range(before + 1, before + 1 + member.count):
        if member.model is None:
            yield _Network(f"member-{number}", f"member {number}", member)
            continue
        try:
            loaded = load(member.model, device="cpu", dtype=torch.float32)
        except StillhouseError as error:
            error.field = error.field or "ensemble.members"
            raise
        if loaded.entry.task != "image_classification":
            raise CompatibilityError(f"'{member.model}' is no classifier of images.", "A network that was trained on images was expected.",
                                     "Name the student of another run on images.", field="ensemble.members")
        require_labels(loaded.model, data, member.model)
        yield _Network(f"member-{number}", member.model, member, loaded)


def _mean_metrics(errors: float, items: int) -> dict[str, float]:
    return {"accuracy": 1 - errors / items, "errors": errors, "items": float(items)}


def _seed(seed: int, repetition: int, name: str) -> int:
    """Return a network's own seed: another one for each network and repetition, the same in each call."""
    return random.Random(f"{seed}/{repetition}/{name}").getrandbits(32)
