"""The claims about specialists, on planted confusions: does the mechanism of the paper's section 5 show at a scale of minutes.

The setting is that of the paper in small: far more items than the generalist has room for, so that specialists are limited by what they
attend to and not by items, and classes that are confused in groups. Claims share what was trained for a seed.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.recorder import Recorder, stop_if_requested
from core.studies.claims.claim import Claim, Figure, Numbers, ProtocolConfig, Source
from core.studies.claims.rules import above, always, every
from core.system.paths import cache_dir
from core.system.provenance import versions

if TYPE_CHECKING:
    from core.config import SpecialistsSpec
    from core.specialists.experiment import SeedResult
    from core.specialists.networks import SpecialistData

SYSTEM, PAPER = "Specialists", "1503.02531"
FORMAT = 1  # of what is cached: to be raised when the same setting gives other networks
CLOSE = 1e-6  # probability; methods differ by less where they find the same optimum


@dataclass(frozen=True)
class SpecialistsProtocolConfig(ProtocolConfig):
    """Sizes and budgets of generalist, specialists and students.

    Attributes:
        source, train_items, test_items, embedding, hidden, clusters, specialist_epochs, specialist_rate, patience: as in
            `core.config.SpecialistsSpec`.
        epochs, batch, rate: of generalists and students.
        student_embedding, temperature, w_hard: of the students.
        checked: items on which fixed point and gradient descent are compared.
    """

    source: str = "planted"
    train_items: int = 12_000
    test_items: int = 4_000
    embedding: int = 6
    hidden: tuple[int, ...] = ()
    clusters: int = 10
    specialist_epochs: float = 6.0
    specialist_rate: float = 1e-2
    patience: int = 2
    epochs: float = 8.0
    batch: int = 128
    rate: float = 2e-2
    student_embedding: int = 16
    temperature: float = 2.0
    w_hard: float = 0.1
    checked: int = 200

    def spec(self, *, distil: bool) -> SpecialistsSpec:
        """Return the section of a recipe."""
        from core.config import SpecialistsSpec

        return SpecialistsSpec(
            source=self.source, train_items=self.train_items, test_items=self.test_items, embedding=self.embedding, hidden=self.hidden,
            clusters=self.clusters, epochs=self.specialist_epochs, learning_rate=self.specialist_rate, patience=self.patience,
            distil=distil, student_embedding=self.student_embedding if distil else None)


def specialists_help(seed: int, setting: SpecialistsProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure B8: conditional accuracy, the fixed point against gradient descent, no relevant specialist, and purity of the clusters."""
    import dataclasses

    import numpy as np
    import torch

    from core.specialists.combining import combine, combine_by_gradient
    from core.specialists.panel import load_panel

    data, result, folder = _repetition(seed, setting, recorder, distil=False)
    stop_if_requested(recorder)
    answer = load_panel(folder / "panel").answer(data.data.test.take(torch.arange(min(setting.checked, len(data.data.test)))))
    by_gradient = combine_by_gradient(answer.generalist, answer.opinions)
    silent = [dataclasses.replace(each, relevant=np.zeros_like(each.relevant)) for each in answer.opinions]
    purity, chance = (result.purity, result.random_purity)
    assert purity is not None and chance is not None, "the data are planted"
    return {
        "conditional_change": result.conditional_specialists - result.conditional_generalist,
        "conditional_generalist": result.conditional_generalist, "conditional_specialists": result.conditional_specialists,
        "fixed_point_gap": float(np.abs(answer.combined.probabilities - by_gradient).max()),
        "empty_gap": float(np.abs(combine(answer.generalist, silent).probabilities - answer.generalist).max()),
        "purity_change": purity - chance, "purity": purity, "random_purity": chance,
        "overall_change": result.combined - result.generalist, "generalist": result.generalist, "combined": result.combined,
        "rounds": float(answer.combined.rounds)}


def distilled_back(seed: int, setting: SpecialistsProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure B9: one network distilled from the combined answers, and the same network from other sources."""
    _, result, _ = _repetition(seed, setting, recorder, distil=True)
    students = result.students
    assert students is not None and result.ensemble is not None and result.members is not None, "distilled"
    return {
        "change": students["specialists"] - students["generalist"], "over_labels": students["specialists"] - students["labels"],
        "over_ensemble": students["specialists"] - students["ensemble"],
        **{f"student_{name}": value for name, value in students.items()},
        "combined": result.combined, "ensemble": result.ensemble, "panel_over_ensemble": result.combined - result.ensemble,
        "members": float(result.members)}


def _repetition(seed: int, setting: SpecialistsProtocolConfig, recorder: Recorder, *,
                distil: bool) -> tuple[SpecialistData, SeedResult, Path]:
    """Return what a seed came to, with the folder of its networks, which stay in the cache."""
    from core.config import LossSpec, TrainSpec
    from core.config.losses import constant
    from core.specialists.experiment import Repetition, parts_of
    from core.specialists.networks import load_data

    stop_if_requested(recorder)
    spec = setting.spec(distil=distil)
    data = load_data(spec)
    key = hashlib.sha256(json.dumps([FORMAT, asdict(setting), data.data.digest, versions()], sort_keys=True).encode()).hexdigest()[:12]
    folder = cache_dir() / "claims" / f"specialists-{key}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    train = TrainSpec(num_train_epochs=setting.epochs, per_device_train_batch_size=setting.batch, learning_rate=setting.rate, seed=seed)
    losses = LossSpec(temperature=setting.temperature, w_hard=constant(setting.w_hard))
    return data, Repetition(data, spec, train, losses, seed, folder, recorder, parts=(0, parts_of(spec))).run(), folder


SETTING = SpecialistsProtocolConfig()
SMALL = ("The data are planted: texts of 40 classes in 10 topics, drawn as bags of words, where the classes of a topic share their words. "
         "They show the mechanism, not that a task at hand has such groups.")
LIMITED = ("The generalist is small for its data on purpose (6 numbers a word); with room for all classes it leaves little to do for "
           "specialists.")

CLAIMS = (
    Claim(
        "B8", "Specialists for confused classes tell those apart better", SYSTEM,
        "Specialists for classes that a generalist confuses, found from the covariance of its predictions, are more accurate on them; "
        "their opinions and the generalist's are combined into one distribution by minimising a sum of KL divergences.",
        "conditional accuracy 43.1% -> 45.9%, overall 25.0% -> 26.1% (61 specialists, 300 classes each, of 15,000)",
        Source(PAPER, "section 5, table 3"),
        "On items of the specialists' classes, predictions restricted to them: accuracy of the specialists - that of the generalist. "
        "Largest |q - q'| over 200 items, of the fixed point and of gradient descent with BFGS steps; largest |q - p^g| with no relevant "
        "specialist. Purity of the clusters against the planted topics - mean purity of random clusters of the same sizes.",
        (Figure("conditional_change", "conditional accuracy, specialists - generalist"),
         Figure("overall_change", "overall accuracy, combined - generalist"),
         Figure("fixed_point_gap", "largest difference of fixed point and gradient descent"),
         Figure("empty_gap", "largest difference to the generalist with no relevant specialist"),
         Figure("purity_change", "purity - purity of random clusters"),
         Figure("conditional_generalist", "conditional accuracy, generalist"), Figure("conditional_specialists", "specialists"),
         Figure("generalist", "overall accuracy, generalist"), Figure("combined", "combined"), Figure("purity", "purity"),
         Figure("random_purity", "purity of random clusters"), Figure("rounds", "rounds of the fixed point")),
        every(above("conditional_change"), always("fixed_point_gap", lambda value: value < CLOSE, f"is below {CLOSE:g}"),
              always("empty_gap", lambda value: value == 0, "is 0"), above("purity_change")),
        SETTING, 40, specialists_help,
        (SMALL, LIMITED, "The items that epochs and clusters are chosen on are not those that are measured on."), published_unit="percent "
         "of JFT images"),
    Claim(
        "B9", "Specialists can be distilled back into one network", SYSTEM,
        "Left open: the paper has not shown that specialists can be distilled back into a single network.",
        "no number is published", Source(PAPER, "section 8"),
        "Accuracy of a network distilled from the combined answers - that of the same network distilled from the generalist: same start, "
        "order and steps. Beside them the same network distilled from an ensemble that trained on as many items as generalist and "
        "specialists together, and trained on the labels alone.",
        (Figure("change", "accuracy of the student, of specialists - of the generalist"),
         Figure("over_ensemble", "of specialists - of the ensemble"), Figure("over_labels", "of specialists - labels alone"),
         Figure("panel_over_ensemble", "combined answers - ensemble, not distilled"),
         *(Figure(f"student_{name}", f"accuracy of the student of {words}") for name, words in (
             ("generalist", "the generalist"), ("specialists", "the specialists"), ("ensemble", "the ensemble"), ("labels", "labels"))),
         Figure("combined", "accuracy, combined answers"), Figure("ensemble", "accuracy, ensemble"),
         Figure("members", "members of the ensemble")),
        above("change"), SETTING, 100, distilled_back,
        (SMALL, LIMITED, "Compute is counted in items that were trained on; the ensemble's members are as large as the generalist.")),
)
