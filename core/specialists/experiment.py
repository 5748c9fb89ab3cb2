"""One repetition of the experiment: generalist, clusters, specialists, panel, and what is distilled from it.

    generalist     trained on hard labels
    clusters       of its predictions on the held-out items
    specialist-m   for each set, from the generalist
    panel          all of them; measured on the test items
    member-j       more generalists of other seeds, as many as an ensemble has that trains on as many items as the panel did
    student-*      one network each from the generalist, the panel, the ensemble, and on the labels alone: same start, order and steps

Each trained network is a folder that appears whole or not at all, so that a repetition that was stopped resumes after the last one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from core.classification.predicting import predict_logits
from core.classification.training import LABELS_ONLY, train_classifier
from core.config import LossSpec, SpecialistsConfig, SpecialistsSpec, TrainSpec
from core.events import CONTROL, STUDENT, RunWarning, TrainingNetwork
from core.models.architectures import on_device
from core.models.loading import model_from_pretrained
from core.recorder import NullRecorder, Recorder, stop_if_requested
from core.reports.specialists_report import STUDENTS, SeedResult
from core.specialists import measuring
from core.specialists.clusters import Clusters, find_clusters, purity, random_labels, require_possible
from core.specialists.networks import SpecialistData, new_generalist, new_student
from core.specialists.panel import Panel, PanelAnswer, Specialist, Task, mean_probabilities
from core.specialists.sharing import Share, names_of, places, save_here, train_shared
from core.specialists.training import SpecialistTraining, train_specialist
from core.system.files import atomic_directory, read_json, write_json

if TYPE_CHECKING:
    from transformers import PreTrainedModel

RANDOM_CLUSTERINGS = 100  # draws of the purity that chance gives
SHOWN = {"specialists": STUDENT, "labels": CONTROL}  # students of the first repetition whose curves are logged
MEMBER_SEED, STUDENT_SEED = 10_007, 20_011  # added to a repetition's seed for the ensemble's members and the students
LEAST = 1e-30  # probability whose logarithm is passed on as a logit
PANEL, COVARIANCE = "panel", "covariance.npy"  # of a repetition: the folder of its panel; in it (C, C) of the predictions
NETWORK_BYTES = 64 << 20  # room on the disk for a panel or a network, generously
TRAINED = "trained.json"  # in a network's folder: the items that it was trained on


@dataclass(frozen=True)
class Repetition:
    """A repetition with one seed.

    Attributes:
        folder: of the repetition; trained networks appear in it.
        train: of generalists and students; `losses` of the students.
        device: on which networks are trained.
        parts: of the whole experiment before this repetition, and in all, for progress; specialists are counted as one a cluster.
    """

    data: SpecialistData
    spec: SpecialistsSpec
    train: TrainSpec
    losses: LossSpec
    seed: int
    folder: Path
    recorder: Recorder
    device: str = "cpu"
    parts: tuple[int, int] = (0, 0)

    def run(self) -> SeedResult:
        """Train and measure everything, or what is missing.

        Raises:
            StopRequested: what was trained so far is kept.
            StillhouseError: clusters that cannot be, data that do not suffice.
        """
        path = self.folder / "result.json"
        if (plain := read_json(path)) is not None and (plain["students"] is not None or not self.spec.distil):
            return SeedResult.from_dict(plain)
        require_possible(self.spec.clusters, self.spec.size, len(self.data.data.labels))
        generalist, trained = self._generalist(self.seed, "generalist", 0)
        clusters = self._clusters(generalist)
        items, specialists = {"generalist": trained}, []
        self._together("specialist", len(clusters.sets), {"sets": [list(each) for each in clusters.sets]}, lambda number: self._specialist(
            generalist, clusters.sets[number - 1], number))
        for number, classes in enumerate(clusters.sets, start=1):
            specialist, count = self._specialist(generalist, classes, number)
            specialists.append(specialist)
            items[f"specialist-{number}"] = count
        panel = Panel(self.data.data.labels, generalist, tuple(specialists), self.spec.top, self.data.tokenizer)
        self._save_panel(panel, clusters)
        stop_if_requested(self.recorder)
        result = self._measured(panel, clusters, items)
        if self.spec.distil:
            result = self._distilled(panel, result)
        write_json(path, result.to_dict())
        return result

    def help(self, names: Sequence[str], details: Mapping[str, Any]) -> None:
        """Train this process's share of the networks that rank 0 has sent. Raises StopRequested."""
        generalist, _ = self._generalist(self.seed, "generalist", 0)  # is there
        for place in places(len(names)):
            kind, _, number = names[place].partition("-")
            if kind == "member":
                self._member(int(number))
            else:
                self._specialist(generalist, tuple(details["sets"][int(number) - 1]), int(number))

    def _together(self, kind: str, count: int, details: Mapping[str, Any], train: Callable[[int], object], first: int = 1) -> None:
        """Train numbered networks that do not depend on each other, with the other processes of the run if there are any."""
        config = SpecialistsConfig(specialists=self.spec, train=self.train, losses=self.losses)
        names = names_of(kind, range(first, first + count))
        train_shared(Share(config, self.seed, self.folder, names, details), lambda place: train(first + place), self.recorder)

    # ------------------------------------------------------------------------------------------ the panel

    def _generalist(self, seed: int, name: str, part: int) -> tuple[PreTrainedModel, int]:
        def make() -> tuple[PreTrainedModel, int]:
            model = on_device(new_generalist(self.data, self.spec, seed), self.device)
            trained = train_classifier(model, self.data.data.train, train=self.train.model_copy(update={"seed": seed}),
                                       recorder=self._silent, variant=name)
            return model, trained.items

        return self._kept(name, part, make)

    def _clusters(self, generalist: PreTrainedModel) -> Clusters:
        predictions = predict_logits(generalist, self.data.data.validation).double().softmax(1).numpy()
        found = find_clusters(predictions, self.spec.clusters, size=self.spec.size, seed=self.seed)
        if found.single:
            names = ", ".join(self.data.data.labels[each] for each in found.single[:8])
            self.recorder.event(RunWarning(
                f"With seed {self.seed} nothing is confused with {names}{' and more' if len(found.single) > 8 else ''}: a cluster of one "
                "class gets no specialist, and the generalist answers for it."))
        return found

    def _specialist(self, generalist: PreTrainedModel, classes: tuple[int, ...], number: int) -> tuple[Specialist, int]:
        how = SpecialistTraining(self.spec.guard, self.spec.epochs, self.spec.patience, self.train.model_copy(
            update={"seed": self.seed + number, "learning_rate": self.spec.learning_rate}))
        share = float(np.isin(self.data.data.train.targets.numpy(), classes).mean())

        def make() -> tuple[PreTrainedModel, int]:
            trained = train_specialist(generalist, classes, self.data.data.train, self.data.data.validation, how, recorder=self._silent,
                                       variant=f"specialist-{number}")
            return trained.model, trained.items

        model, items = self._kept(f"specialist-{number}", number, make)
        return Specialist(model, classes, share, self.spec.guard), items

    def _save_panel(self, panel: Panel, clusters: Clusters) -> None:
        target = self.folder / PANEL
        if not target.exists():
            with atomic_directory(target, NETWORK_BYTES) as partial:
                panel.save(partial)
                np.save(partial / COVARIANCE, clusters.covariance)

    def _measured(self, panel: Panel, clusters: Clusters, items: Mapping[str, int]) -> SeedResult:
        test = self.data.data.test
        targets, answer = test.targets.numpy(), panel.answer(test)
        improvements = tuple(measuring.specialist_gain(answer, number, targets) for number in range(len(panel.specialists)))
        conditional = measuring.conditional_accuracies(improvements)
        groups = self.data.groups
        found = chance = None
        if groups is not None:
            found = purity(clusters.labels, groups)
            chance = float(np.mean([purity(random_labels(clusters.labels, seed), groups) for seed in range(RANDOM_CLUSTERINGS)]))
        return SeedResult(
            self.seed, clusters.sets, clusters.single, clusters.order, tuple(clusters.labels.tolist()), found, chance, improvements,
            *conditional,
            measuring.accuracy(answer.generalist, targets), measuring.accuracy(answer.combined.probabilities, targets), _heard(answer),
            measuring.coverage_table(answer, clusters.coverage, targets), answer.combined.rounds, dict(items))

    # ------------------------------------------------------------------------------------------ one network again

    def _distilled(self, panel: Panel, result: SeedResult) -> SeedResult:
        train, test = self.data.data.train, self.data.data.test
        targets = test.targets.numpy()
        # As many members as have seen, together, the items that the generalist and all specialists have seen.
        count = max(2, round(sum(result.items.values()) / result.items["generalist"]))
        members, items = [panel.generalist], dict(result.items)
        base = 1 + self.spec.clusters
        self._together("member", count - 1, {}, self._member, first=2)
        for number in range(2, count + 1):
            member, seen = self._member(number)
            members.append(member)
            items[f"member-{number}"] = seen
        sources: dict[str, Callable[[], Tensor]] = {
            "generalist": lambda: predict_logits(panel.generalist, train),
            "specialists": lambda: panel.answer(train).soft_targets,
            "ensemble": lambda: torch.from_numpy(np.log(np.maximum(mean_probabilities(members, train), LEAST))).float()}
        accuracies = {}
        for number, name in enumerate(STUDENTS):
            soft = sources.get(name)
            student, items[f"student-{name}"] = self._student(name, soft, base + count - 1 + number)
            accuracies[name] = float((predict_logits(student, test).argmax(1).numpy() == targets).mean())
        return SeedResult(**{**vars(result), "items": items, "members": count, "students": accuracies,
                             "ensemble": measuring.accuracy(mean_probabilities(members, test), targets)})

    def _member(self, number: int) -> tuple[PreTrainedModel, int]:
        """Return a member of the ensemble, from 2: the first one is the generalist."""
        return self._generalist(self.seed + MEMBER_SEED * (number - 1), f"member-{number}", self.spec.clusters + number - 1)

    def _student(self, name: str, soft: Callable[[], Tensor] | None, part: int) -> tuple[PreTrainedModel, int]:
        spec, seed = self.spec, self.seed + STUDENT_SEED
        shown = name in SHOWN and self.seed == self.train.seed

        def make() -> tuple[PreTrainedModel, int]:
            model = on_device(new_student(self.data, spec, seed), self.device)  # the same start for every source
            trained = train_classifier(model, self.data.data.train, train=self.train.model_copy(update={"seed": seed}),
                                       losses=LABELS_ONLY if soft is None else self.losses, soft_targets=None if soft is None else soft(),
                                       held_out=self.data.data.validation if shown else None,
                                       recorder=self.recorder if shown else self._silent, variant=SHOWN.get(name, name))
            return model, trained.items

        return self._kept(f"student-{name}", part, make)

    # ------------------------------------------------------------------------------------------ kept networks

    def _kept(self, name: str, part: int, make: Callable[[], tuple[PreTrainedModel, int]]) -> tuple[PreTrainedModel, int]:
        """Return a network and the items that it was trained on: from its folder, or made and saved there."""
        target = self.folder / name
        if target.exists():
            from core.models import image_mlp, word_average  # noqa: F401 -- registers the architectures

            task: Task = "image_classification" if self.data.tokenizer is None else "classification"
            model = model_from_pretrained(target, task, torch.float32, local_files_only=True).to(self.device).eval()
            plain = read_json(target / TRAINED)
            assert plain is not None, "written before the folder appeared"
            return model, plain["items"]
        stop_if_requested(self.recorder)
        self.recorder.event(TrainingNetwork(network=name.replace("-", " "), seed=self.seed, done=min(self.parts[0] + part, self.parts[1]),
                                            total=self.parts[1]))
        model, items = make()
        with atomic_directory(target, NETWORK_BYTES) as partial:
            save_here(model, partial)
            write_json(partial / TRAINED, {"items": items})
        return model.eval(), items

    @property
    def _silent(self) -> NullRecorder:
        """What networks report to whose curves nobody looks at; it is polled for a stop."""
        return NullRecorder(self.recorder.should_stop)


def _heard(answer: PanelAnswer) -> float:
    return float(np.any([each.relevant for each in answer.opinions], axis=0).mean())


def parts_of(spec: SpecialistsSpec) -> int:
    """Return about how many networks a repetition trains, for progress: the ensemble's members are counted as two."""
    return 1 + spec.clusters + (2 + len(STUDENTS) if spec.distil else 0)
