"""What an ensemble needs, of classifiers of images or as a language model's teacher, as far as it is known before anything is read."""

from __future__ import annotations

from contextlib import suppress

from core.classification.sources import describe_source
from core.config import EnsembleConfig, ExperimentConfig
from core.errors import CompatibilityError, ModelNotFoundError
from core.models.ensembles import ONE_MEMBER, parse_ensemble, require_ensemble
from core.models.entries import ModelEntry
from core.planning import preflight
from core.planning.models import described
from core.planning.preflight import PreflightReport


def check_ensemble(config: EnsembleConfig, found: PreflightReport) -> None:
    """Check the source of the images, the members that are there, and the device."""
    found.take("images", lambda: describe_source(config.images))
    named = [member.model for member in config.ensemble.members if member.model is not None]
    trained = sum(member.count for member in config.ensemble.members if member.model is None)
    found.take("members", lambda: _members(named, trained))
    if config.ensemble.size == 1:
        found.warn("ensemble", ONE_MEMBER,
                   "Add members, or raise ensemble.members[0].count.")
    found.take("device", lambda: preflight.require_device(config.train.device), "Computes on {}.".format)
    if config.train.report_to:
        found.take("trackers", lambda: preflight.require_trackers(config.train.report_to))


def check_ensemble_teacher(config: ExperimentConfig, found: PreflightReport) -> None:
    """Check that a student that is compared over seeds has an ensemble as its teacher, and say where that has a single member."""
    seeds, teacher = config.evaluation.ensemble_seeds, config.teacher
    if teacher is None or teacher.address is not None:
        return
    if seeds is not None:
        found.take("ensemble", lambda: require_ensemble(teacher.model, "evaluation.ensemble_seeds"), lambda known: (
            f"Students of {len(known.members)} members, of labels alone and of {known.members[0]} alone are compared over "
            f"{seeds} seed{'s' if seeds > 1 else ''}."))
    with suppress(ModelNotFoundError):  # the check of the teacher says so
        reference = parse_ensemble(teacher.model)
        if reference is not None and len(reference.members) == 1:
            found.warn("ensemble", ONE_MEMBER, "Name more members in teacher.model.")


def _members(named: list[str], trained: int) -> str:
    for reference in named:
        _require_image_network(described(reference, "ensemble.members"), reference)
    parts = [f"{trained} are trained" if trained else "", f"{len(named)} are there" if named else ""]
    return f"Members: {', '.join(filter(None, parts))}."


def _require_image_network(entry: ModelEntry, reference: str) -> None:
    if entry.task != "image_classification":
        raise CompatibilityError(f"'{reference}' is no classifier of images.", "A network that was trained on images was expected.",
                                 "Name the student of another run on images.", field="ensemble.members")
