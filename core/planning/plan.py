"""The plan before the run: does it fit, how large is the student, how long will it take, and what to change if not.

`static_plan` is instant and needs no torch: it reads file headers and does arithmetic (`core.planning.memory`), for forms.
`plan` continues from there: it opens the device, loads the teacher, packs the data and, if requested, trains for a few steps
(`core.planning.dry_run`). What may stand in the way is in `core.planning.preflight`, what comes out in `core.planning.requirements`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from core.config import (
    BridgeConfig,
    ChainConfig,
    EnsembleConfig,
    ExperimentConfig,
    FineTuneConfig,
    ReadingConfig,
    SpecialistsConfig,
    StudentSpec,
    total_steps,
)
from core.data import sources
from core.errors import ModelError, NetworkError
from core.evaluation.teacher_help import TeacherHelp
from core.methods.room import stored_bytes
from core.models import catalog, compatibility
from core.models.entries import LoadedModel
from core.models.header import precision_of
from core.planning import memory, preflight
from core.planning.ensembles import check_ensemble, check_ensemble_teacher
from core.planning.inputs import check_local_reading_tasks, counted, planned_inputs
from core.planning.models import ModelSize, PlannedModels, described, planned_models, size_of
from core.planning.preflight import PreflightReport
from core.planning.requirements import Plan, compute_bytes, computes_on_gpu, concluded
from core.planning.specialists import check_specialists
from core.planning.task_plan import measured_task_plan, task_plan
from core.system import machine
from core.system.units import GIB

if TYPE_CHECKING:
    from core.methods.steps import TrainingInputs


def static_plan(config: ExperimentConfig, *, read_tokenizers: bool = False) -> Plan:
    """Return what is known at once: of a GPU only its presence is checked, and no hub dataset is requested.

    Args:
        read_tokenizers: also compare the tokenizer of the model that the student is made of with its rows, and with the items of reading
            tasks; imports Transformers.
    """
    found = PreflightReport()
    if isinstance(config, FineTuneConfig):
        return task_plan(config, found)
    if isinstance(config, EnsembleConfig | SpecialistsConfig):
        return _classifiers_plan(config, found)
    whole, config = config, first_step(config)
    check_ensemble_teacher(config, found)
    models = planned_models(config, found, whole.kind)
    origin = models.origin if models is not None else None
    if read_tokenizers and origin is not None and origin.path is not None and origin.path.is_dir():
        found.take("vocabulary", lambda: compatibility.require_tokenizer_rows(origin))
    planned = _static(config, found, models, whole)
    if read_tokenizers and models is not None and isinstance(config, ReadingConfig):
        check_local_reading_tasks(config, found, models)
    here = found.take("device", lambda: preflight.require_device(config.train.device), "Computes on {}.".format)
    preflight.check_processes(found, config.train)
    if models is not None and here == "cpu":
        available = machine.memory_available()
        found.take("memory", lambda: preflight.require_memory(config, models.teacher, models.student, compute_bytes(config.train),
                                                              available))
        planned = replace(planned, memory_available=available)
    return concluded(planned, found)


def plan(config: ExperimentConfig, *, measure: bool, load: Callable[..., LoadedModel] = catalog.load) -> Plan:
    """Return what is known after loading the teacher and packing the data, either of which may have to be downloaded.

    User-fixable problems do not raise: they are failed checks, and what depends on them stays unknown.

    Args:
        measure: also train for a few steps, on the device, with the code that the run will use.
        load: gives the teacher for its reference.
    """
    from core.planning.dry_run import dry_run
    from core.system.devices import memory_available, resolve_device, resolve_precision

    found = PreflightReport()
    if isinstance(config, FineTuneConfig):
        planned = task_plan(config, found)
        return measured_task_plan(config, found, planned, load) if measure and found.hold else planned
    if isinstance(config, EnsembleConfig | SpecialistsConfig):
        return _classifiers_plan(config, found)
    whole, config = config, first_step(config)
    check_ensemble_teacher(config, found)
    models = planned_models(config, found, whole.kind)
    planned = _static(config, found, models, whole)
    device = found.take("device", lambda: resolve_device(config.train.device))
    preflight.check_processes(found, config.train)
    if models is None or device is None:
        return concluded(planned, found)
    dtype = resolve_precision(config.train.precision, device)
    found.tell("device", f"Computes on {device} in {str(dtype).removeprefix('torch.')}.")
    available, on_gpu = int(memory_available(device) * GIB), device.type != "cpu"
    sizes = (config, models.teacher, models.student, dtype.itemsize)
    found.take("memory", lambda: preflight.require_memory(*sizes, available, on_gpu=on_gpu))
    planned = replace(planned, memory=memory.memory(*sizes, on_gpu=on_gpu, processes=planned.processes), memory_available=available)

    if config.train.sharding != "none":  # one process, as this one is, would load it whole
        found.tell("rehearsal", "Nothing is loaded or tried: the weights are shared out among the processes of the run.")
        return concluded(planned, found)

    # Nothing is loaded that would not fit.
    inputs = planned_inputs(config, found, load, device, dtype) if found.hold else None
    if inputs is not None and models.student.architecture.objective == "causal":
        planned = replace(planned, counted_share=inputs.data.train.counted_share)
    if inputs is not None and config.teacher is not None:
        blocks = len(inputs.data.train)
        steps = total_steps(config.train, blocks)
        planned = replace(planned, total_steps=steps)
        passes = steps * planned.tokens_per_step / (blocks * config.data.block_length)
        found.tell("text", f"{blocks:,} training blocks of {config.data.block_length} tokens, read {passes:.2g} times in "
                           f"{steps:,} steps; {len(inputs.data.validation):,} blocks held out.{counted(planned.counted_share)}")
        if inputs.teacher is not None and inputs.objective.name == "causal" and config.losses.needs_teacher():
            from core.planning.signals_cost import signals_cost

            parameters = models.student.parameters
            found.take("kept answers", lambda: signals_cost(inputs, parameters, passes))
    if measure and inputs is not None and found.hold:
        timings = found.take("rehearsal", lambda: dry_run(inputs))
        if timings is not None:
            shared = planned.processes if on_gpu else 1  # on the processor one process computes on all cores too
            seconds = timings.seconds(config, planned.total_steps, shared) if planned.total_steps else None
            if seconds is not None and config.evaluation.ensemble_seeds is not None:  # student, control and a third of one member
                seconds *= 1.5 * config.evaluation.ensemble_seeds
            planned = replace(planned, seconds=seconds, measured_steps=timings.steps, tokens_per_second=timings.tokens_per_second)
        planned = replace(planned, teacher_help=_teacher_help(found, inputs))
    return concluded(planned, found)


def _classifiers_plan(config: EnsembleConfig | SpecialistsConfig, found: PreflightReport) -> Plan:
    """Return what an ensemble or specialists need; networks are small, and how many items there are is known once they are read."""
    if isinstance(config, EnsembleConfig):
        check_ensemble(config, found)
    else:
        check_specialists(config, found)
    return concluded(Plan(total_steps=config.train.max_steps), found)


def _teacher_help(found: PreflightReport, inputs: TrainingInputs) -> TeacherHelp | None:
    """Measure whether the teacher can help, and warn where it is unlikely to."""
    from core.planning.teacher_pilot import measure_teacher_help

    if inputs.teacher is None:
        return None
    measured = found.take("teacher's lead", lambda: measure_teacher_help(inputs), lambda known: (
        str(known) if known is not None else "Too little text is held out to compare the teacher with the student."))
    if measured is not None and measured.verdict != "helps":
        found.warn("teacher's lead", str(measured), "Fine-tune the teacher on this text first, or take one that knows it.")
    return measured


def first_step(config: ExperimentConfig) -> ExperimentConfig:
    """Return the largest distillation of a chain as an experiment of its own: the later steps need less than it.

    An anchor that is given by its parameters counts as half of the teacher.
    """
    if not isinstance(config, ChainConfig):
        return config
    anchor = config.chain.anchors[0]
    student = StudentSpec(model=anchor.model) if anchor.model else StudentSpec(
        layers=anchor.layers, hidden=anchor.hidden, intermediate_size=anchor.intermediate_size)
    if anchor.layers is None and student.narrower:
        with contextlib.suppress(ModelError, NetworkError):  # the check of the teacher says so
            student = student.model_copy(update={"layers": catalog.describe(config.teacher.model).layers})
    return config.step(config.teacher, student)


def _static(config: ExperimentConfig, found: PreflightReport, models: PlannedModels | None, whole: ExperimentConfig) -> Plan:
    train, data = config.train, config.data
    if isinstance(config, ReadingConfig):
        found.take("writer", lambda: preflight.require_reading_teacher(config))
    elif not isinstance(config, BridgeConfig):
        found.take("text", lambda: preflight.require_source(data))
    else:
        found.take("writer", lambda: preflight.require_bridge_teacher(described(config.bridge.model, "bridge.model")))
        found.take("prompts", lambda: preflight.require_source(sources.prompts(config.bridge.prompts)))
    if train.report_to:
        found.take("trackers", lambda: preflight.require_trackers(train.report_to))
    planned = Plan(tokens_per_step=train.per_device_train_batch_size * train.gradient_accumulation_steps * data.block_length,
                   total_steps=train.max_steps, processes=preflight.processes_of(train))
    if models is None:
        return planned
    if isinstance(whole, ChainConfig):
        found.take("anchors", lambda: preflight.require_anchors(whole))
    entry, teacher, student = models.entry, models.teacher, models.student
    precision = precision_of(train.save_precision, models.origin.header if models.origin is not None else None)
    disk_bytes = memory.disk(config, student, precision)
    if isinstance(whole, ChainConfig) and teacher is not None:  # anchors that stay beside the step; none is larger than the teacher
        disk_bytes += len(whole.chain.anchors) * teacher.parameters * stored_bytes(precision)
    found.take("block length", lambda: compatibility.require_block_length_fits(data, models.context))
    trained = entry.trained_length if entry is not None else None
    if entry is not None and trained is not None and trained < data.block_length <= models.context:
        found.warn("trained length", f"'{entry.name}' was trained on blocks of {trained} tokens, and may understand blocks of "
                                     f"{data.block_length} worse.", f"Set data.block_length to {trained} or less.")
    retention = config.evaluation.retention
    if retention is not None:
        objective = student.architecture.objective
        found.take("retention tasks", lambda: preflight.require_retention_tasks(retention, objective))
    found.take("disk", lambda: preflight.require_disk(disk_bytes))
    if teacher is not None and teacher.hidden != student.hidden:
        found.take("widths", lambda: compatibility.require_equal_widths(config.losses, teacher.hidden, student.hidden))
    return replace(
        planned, teacher=size_of(entry), layer_map=models.layer_map,
        student=ModelSize(config.name or "student", student.parameters, student.layers),
        trainable_parameters=memory.trainable(student, config.student.lora), disk_bytes=disk_bytes,
        memory=memory.memory(config, teacher, student, compute_bytes(train), on_gpu=computes_on_gpu(train), processes=planned.processes))
