"""What an ensemble of classifiers of images needs, as far as it is known before anything is read."""

from __future__ import annotations

from core.classification.sources import describe_source
from core.config import EnsembleConfig
from core.errors import CompatibilityError
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
        found.warn("ensemble", "The ensemble has one member: its mean is that member, and this is a plain distillation.",
                   "Add members, or raise ensemble.members[0].count.")
    found.take("device", lambda: preflight.require_device(config.train.device), "Computes on {}.".format)
    if config.train.report_to:
        found.take("trackers", lambda: preflight.require_trackers(config.train.report_to))


def _members(named: list[str], trained: int) -> str:
    for reference in named:
        _require_image_network(described(reference, "ensemble.members"), reference)
    parts = [f"{trained} are trained" if trained else "", f"{len(named)} are there" if named else ""]
    return f"Members: {', '.join(filter(None, parts))}."


def _require_image_network(entry: ModelEntry, reference: str) -> None:
    if entry.task != "image_classification":
        raise CompatibilityError(f"'{reference}' is no classifier of images.", "A network that was trained on images was expected.",
                                 "Name the student of another run on images.", field="ensemble.members")
