"""What generalist and specialists need, as far as it is known before anything is trained."""

from __future__ import annotations

from core.config import SpecialistsConfig, TaskSpec
from core.data.planted_confusions import CLASSES_PER_TOPIC, TOPICS
from core.errors import DataError, about
from core.models.compatibility import require_generalist
from core.planning import preflight
from core.planning.models import described, summary
from core.planning.preflight import PreflightReport
from core.specialists.clusters import require_possible

KNOWN_CLASSES = {"planted": CLASSES_PER_TOPIC * len(TOPICS), "digits": 10}


def check_specialists(config: SpecialistsConfig, found: PreflightReport) -> None:
    """Check the source of the items, the number of clusters where the classes are known, and the device."""
    found.take("data", lambda: describe_source(config))
    if (model := config.specialists.model) is not None:
        found.take("generalist", lambda: require_generalist(described(model, "specialists.model")), lambda entry: (
            f"Generalists are fine-tuned from {summary(entry)}"))
    found.take("clusters", lambda: _clusters(config))
    found.take("device", lambda: preflight.require_device(config.train.device), "Computes on {}.".format)
    preflight.check_processes(found, config.train, "the specialists")
    if config.train.report_to:
        found.take("trackers", lambda: preflight.require_trackers(config.train.report_to))


def describe_source(config: SpecialistsConfig) -> str:
    """Return one sentence about the items. Raises DataError for a file that cannot be read, or has no texts with labels."""
    spec = config.specialists
    if spec.source == "planted":
        return f"Planted texts of {KNOWN_CLASSES['planted']} classes in {len(TOPICS)} topics, confusable by design."
    if spec.source == "digits":
        return "Handwritten digits, shipped with scikit-learn."
    with about("specialists.source", DataError):
        return preflight.require_task_source(TaskSpec(source=spec.source, text_column=spec.text_column, label_column=spec.label_column,
                                                      kind="classification"))


def _clusters(config: SpecialistsConfig) -> str:
    spec = config.specialists
    classes = KNOWN_CLASSES.get(spec.source)
    if classes is not None:
        require_possible(spec.clusters, spec.size, classes)
    each = f" of {spec.size} classes" if spec.size else ""
    return f"Up to {spec.clusters} specialists{each}, in {spec.seeds} repetition{'s' if spec.seeds > 1 else ''}."
