"""What each part of a recipe is worth: the recipe without it, with the same seeds (1910.01108, table 4).

    full      the recipe
    minus_x   without the loss term x, where `core.loss_terms` says how such a recipe is called
    random    with new weights in place of the teacher's blocks

A part that a recipe does not use has no variant. What was trained is kept in the cache and found again by its whole configuration,
so that an ablation resumes where it was stopped, and claims that need the same students share them.
"""

from __future__ import annotations

import hashlib
import json
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from core.config import DistillConfig, ExperimentConfig, Ramp, ReadingConfig
from core.errors import ConfigError, ModelError, NetworkError
from core.loss_terms import LOSS_TERMS
from core.models import catalog, weight_digests
from core.reading import oracle
from core.recorder import Recorder, stop_if_requested
from core.reports.run_report import RunReport
from core.system.files import read_json
from core.system.locks import alone
from core.system.paths import cache_dir
from core.system.provenance import versions

if TYPE_CHECKING:
    from core.methods.steps import Load

FULL, RANDOM = "full", "random"
# Variant -> the weight that is 0 in it; terms without a teacher come last, as in the paper's table.
TERMS = {f"minus_{term.name}": term.key for term in sorted(LOSS_TERMS, key=lambda term: not term.needs_teacher) if term.left_out}
NONE = Ramp(start=0, end=0)
OTHER_KINDS = {
    "pretrain": "trains a model without a teacher", "fine_tune": "fine-tunes a model on a labelled task",
    "chain": "builds a chain of anchors", "bridge": "trains a model on a teacher's texts", "reading": "trains a model on a teacher's notes",
    "ensemble": "trains an ensemble and a student of it", "specialists": "trains specialists of confusable classes"}


def variants(config: ExperimentConfig) -> dict[str, DistillConfig]:
    """Return each variant's configuration by name, the whole recipe first. None trains a control, or measures a retention card.

    Raises:
        ConfigError: a recipe without a teacher, or one that uses a single part.
    """
    if not isinstance(config, DistillConfig):
        raise ConfigError(f"The recipe {OTHER_KINDS[config.kind]}.",
                          "An ablation leaves parts out of a recipe that distils one student from a teacher.",
                          "Take such a recipe, as assets/recipes/distilbert.yaml.", field="kind")
    plain = config.model_copy(update={"control": False, "evaluation": config.evaluation.model_copy(update={"retention": None})})
    made = {FULL: plain}
    for name, weight in TERMS.items():
        losses = config.losses.model_copy(update={weight: NONE})
        if getattr(config.losses, weight) != NONE and any(ramp != NONE for ramp in losses.weights().values()):
            made[name] = plain.model_copy(update={"losses": losses})
    if config.student.init == "teacher" and config.student.model is None and config.student.lora is None:
        made[RANDOM] = plain.model_copy(update={"student": config.student.model_copy(update={"init": "random"})})
    if len(made) == 1:
        raise ConfigError("The recipe has no part that could be left out.",
                          "Two loss terms, or weights copied from the teacher, were expected.",
                          "Set a second weight of losses above 0.")
    return made


def with_seed(config: ExperimentConfig, seed: int) -> ExperimentConfig:
    """Return the same experiment with other weights and another order of the data."""
    return config.model_copy(update={"train": config.train.model_copy(update={"seed": seed})})


def trained(config: ExperimentConfig, recorder: Recorder, *, load: Load = catalog.load) -> RunReport:
    """Return the report of an experiment, cached or trained now; its ``output_dir`` holds the student.

    Another process that trains the same experiment is waited for.

    Raises:
        StopRequested: while it waited or trained; the next call resumes.
    """
    from core.methods import method_for

    folder = folder_of(config)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with alone(folder.with_suffix(".lock"), partial(stop_if_requested, recorder)):
        record = read_json(folder / "report.json")
        if record:
            return RunReport.from_dict(record)
        report = method_for(config)(config, recorder, folder, load=load)
        assert isinstance(report, RunReport), "chains are no part of ablations"
        return report


def folder_of(config: ExperimentConfig) -> Path:
    """Return where an experiment is cached.

    Besides its configuration that depends on the releases of the libraries, the weights of the models that it names and the file that
    it reads.
    """
    models = [spec.model for spec in (config.teacher, config.student) if spec is not None and spec.model]
    identity = [config.digest(), versions(), *map(_weights, models), _file(config.data.source),
                *([oracle.VERSION] if isinstance(config, ReadingConfig) else [])]
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]
    return cache_dir() / "experiments" / key


def _weights(reference: str) -> str:
    """Return a digest of the weights of a local model; a reference that leads to no folder stands for itself."""
    try:
        path = catalog.describe(reference).path
    except (ModelError, NetworkError):
        path = None
    return weight_digests.weights_hash(path) if path is not None and path.is_dir() else reference


def _file(source: str) -> tuple[int, int] | None:
    path = Path(os.path.expanduser(source))
    return (path.stat().st_size, path.stat().st_mtime_ns) if path.is_file() else None
