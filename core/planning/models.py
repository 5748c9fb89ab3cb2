"""The models of a run as far as their headers tell, before any of them is loaded."""

from __future__ import annotations

from dataclasses import dataclass, replace

from core.config import ExperimentConfig, Kind, StudentSpec
from core.errors import ConfigError, FetchModel, ModelNotFoundError, UnsupportedModelError, about
from core.models import catalog, compatibility
from core.models.architectures import Objective as ObjectiveName
from core.models.dimensions import student_dimensions
from core.models.entries import ModelEntry
from core.planning import memory
from core.planning.memory import ModelShape
from core.planning.preflight import PreflightReport
from core.students.distilbert import check_student
from core.students.layer_maps import LayerMap, student_depth, student_map
from core.system import units


@dataclass(frozen=True, slots=True)
class ModelSize:
    """A model of the plan: its name, parameters and blocks."""

    name: str
    parameters: int
    layers: int


@dataclass(frozen=True, slots=True)
class PlannedModels:
    """The models of a run before they are loaded. Entry and teacher are None where a model is built from nothing.

    Attributes:
        origin: the teacher, or without one the model that the student starts from.
    """

    entry: ModelEntry | None
    teacher: ModelShape | None
    student: ModelShape
    layer_map: LayerMap | None
    context: int
    origin: ModelEntry | None = None


def planned_models(config: ExperimentConfig, found: PreflightReport, kind: Kind) -> PlannedModels | None:
    """Return what the run will train, from headers alone; None when it cannot be built."""
    spec, above = config.student, config.teacher
    reference = spec.model
    if spec.from_scratch:
        shape = memory.shape_from_scratch(spec.from_scratch)
        found.tell("student", f"{shape.layers} blocks, {shape.parameters:,} parameters, built from nothing.")
        found.take("objective", lambda: compatibility.require_settings_for(config, shape.architecture.objective))
        return PlannedModels(None, None, shape, None, spec.from_scratch.positions)
    address = above.address if above is not None else None
    if above is None or address is not None:
        assert reference is not None, "without a teacher and an architecture, a model is trained on"
        if address is not None:
            found.tell("teacher", f"Answers at {address.name}; the measured plan asks it.")
        start = found.take("student", lambda: _allowed("chain" if address is not None else kind, described(reference, "student.model")),
                           lambda model: f"Begins as {summary(model)}")
        if start is None:
            return None
        found.take("objective", lambda: compatibility.require_settings_for(config, _objective_of(start)))
        return PlannedModels(None, None, memory.shape_of(start), None, start.context, start)
    entry = found.take("teacher", lambda: _allowed(kind, described(above.model, "teacher.model")), summary)
    if entry is None:
        return None
    found.take("objective", lambda: compatibility.require_settings_for(config, _objective_of(entry)))
    teacher = memory.shape_of(entry)
    if reference is not None:
        given = found.take(
            "student", lambda: compatibility.require_language_model(
                compatibility.require_same_task(entry, described(reference, "student.model"))),
            lambda model: f"Begins as {summary(model)}")
        return PlannedModels(entry, teacher, memory.shape_of(given), None, min(entry.context, given.context), entry) if given else None
    # Importance is measured when the run starts; until then the first blocks stand for those that it will choose.
    measured = spec.layer_map == "importance"
    chosen = found.take("student", lambda: tuple(range(student_depth(spec, entry.layers))) if measured
                        else student_map(spec, entry.layers))
    student = found.take("student", lambda: _student(entry, teacher, spec, chosen)) if chosen is not None else None
    if student is None:
        return None
    width = f" {student.hidden} of {entry.hidden} channels," if spec.narrower else ""
    found.tell("student", f"{student.layers} of {entry.layers} blocks,{width} {student.parameters:,} parameters.")
    return PlannedModels(entry, teacher, student, None if measured else chosen, entry.context, entry)


def described(reference: str, field: str) -> ModelEntry:
    """Return a model's description; a reference that leads to no model that can be used is the fault of the recipe's key `field`."""
    with about(field, ModelNotFoundError, UnsupportedModelError):
        return catalog.describe(reference)


def _allowed(kind: Kind, entry: ModelEntry) -> ModelEntry:
    """Return the same model where an experiment can be made with models of its kind."""
    if kind in ("chain", "bridge"):
        return compatibility.require_causal_lm(entry, kind)
    return compatibility.require_language_model(entry)


def _objective_of(entry: ModelEntry) -> ObjectiveName:
    """Return the objective of a model that `_allowed` let through."""
    assert entry.task in ("causal", "masked")
    return entry.task


def size_of(entry: ModelEntry | None) -> ModelSize | None:
    """Return the size of a model as a plan shows it."""
    return ModelSize(entry.name, entry.parameters, entry.layers) if entry is not None else None


def _student(entry: ModelEntry, teacher: ModelShape, spec: StudentSpec, chosen: LayerMap) -> ModelShape:
    """Return the shape of the student that will be built of a teacher's blocks."""
    teacher.architecture.require_valid_layer_map(chosen, entry.header.config if entry.header is not None else {})
    distilbert = spec.architecture == "distilbert" and entry.task == "masked" and entry.architecture != "distilbert"
    if distilbert:
        check_student(spec, entry.architecture, entry.header.config.get("hidden_act") if entry.header is not None else None)
    student = _widths(entry, teacher, spec).with_blocks(chosen)
    if spec.dropout is not None:
        student = replace(student, drops=spec.dropout > 0)
    return student.as_distilbert() if distilbert else student


def _widths(entry: ModelEntry, teacher: ModelShape, spec: StudentSpec) -> ModelShape:
    """Return the teacher's shape at the student's widths."""
    if not spec.narrower:
        return teacher
    if entry.dimensions is None:
        raise ConfigError("A narrower student was requested.", f"The sizes of '{entry.name}' are known once it is here.",
                          "Fetch it first.", field="student.hidden", suggestion=FetchModel(entry.name))
    return memory.narrowed(entry, student_dimensions(spec, entry.dimensions))


def summary(entry: ModelEntry) -> str:
    """Return a sentence on a model: its name, blocks, parameters, and whether it has to be downloaded."""
    download = "" if entry.present else f" It will be downloaded first ({units.format_bytes(entry.size_bytes)})."
    return f"{entry.name}: {entry.layers} blocks, {entry.parameters:,} parameters.{download}"
