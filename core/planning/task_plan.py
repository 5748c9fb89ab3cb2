"""The plan of a fine-tuning on a labelled task: from headers, and then with a few real steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from core.config import FineTuneConfig, total_steps
from core.models import compatibility
from core.models.entries import LoadedModel, ModelEntry
from core.models.header import precision_of
from core.planning import memory, preflight
from core.planning.models import ModelSize, described, size_of, summary
from core.planning.preflight import PreflightReport
from core.planning.requirements import Plan, compute_bytes, computes_on_gpu, concluded
from core.system import machine


def task_plan(config: FineTuneConfig, found: PreflightReport) -> Plan:
    """Return what fine-tuning needs, from headers: an encoder, a teacher that knows the task, the data, the device."""
    reference, spec = config.student.model, config.teacher
    assert reference is not None, "FineTuneConfig refuses others"

    def encoder() -> ModelEntry:
        entry = compatibility.require_encoder(described(reference, "student.model"))
        if config.task.kind != "auto":
            compatibility.require_head_for(entry, config.task.kind)
        return entry

    start = found.take("student", encoder, lambda model: f"Begins as {summary(model)}")
    teacher = found.take("teacher", lambda: compatibility.require_task_teacher(described(spec.model, "teacher.model")),
                         summary) if spec is not None else None
    found.take("text", lambda: preflight.require_task_source(config.task))
    here = found.take("device", lambda: preflight.require_device(config.train.device), "Computes on {}.".format)
    preflight.check_processes(found, config.train)
    if config.train.report_to:
        found.take("trackers", lambda: preflight.require_trackers(config.train.report_to))
    planned = Plan(tokens_per_step=config.train.per_device_train_batch_size * config.train.gradient_accumulation_steps
                   * config.task.max_length, total_steps=config.train.max_steps, processes=preflight.processes_of(config.train),
                   teacher=size_of(teacher))
    if start is not None:
        origins = (entry.header for entry in (teacher, start) if entry is not None)
        disk_bytes = memory.disk(config, memory.shape_of(start), precision_of(config.train.save_precision, *origins))
        found.take("disk", lambda: preflight.require_disk(disk_bytes))
        planned = replace(planned, student=ModelSize(config.name or "student", start.parameters, start.layers), disk_bytes=disk_bytes,
                          trainable_parameters=memory.trainable(memory.shape_of(start), config.student.lora))
        reads = min(entry.context for entry in (start, teacher) if entry is not None)
        found.tell("block length", compatibility.describe_task_length(config.task, reads))
        planned = _task_memory(config, found, planned, start, teacher, min(config.task.max_length, reads), here)
    return concluded(planned, found)


def measured_task_plan(config: FineTuneConfig, found: PreflightReport, planned: Plan, load: Callable[..., LoadedModel]) -> Plan:
    """Return the plan with the time of a few real steps, once models and items are loaded."""
    from core.planning.task_dry_run import describe_items, dry_run_task, warn_of_items
    from core.system.devices import resolve_device, resolve_precision
    from core.tasks.data import load_task

    device = found.take("device", lambda: resolve_device(config.train.device), "Computes on {}.".format)
    task = found.take("text", lambda: load_task(config.task), describe_items)
    if device is None or task is None:
        return concluded(planned, found)
    import torch

    dtype, spec = resolve_precision(config.train.precision, device), config.teacher
    start = found.take("student", lambda: load(config.student.model, device=device, dtype=torch.float32, needs_head=False),
                       lambda loaded: f"Begins as {summary(loaded.entry)}")
    teacher = found.take("teacher", lambda: load(spec.model, device=device, dtype=dtype),
                         lambda loaded: summary(loaded.entry)) if spec is not None else None
    if start is None or not found.hold:
        return concluded(planned, found)
    warn_of_items(task, found)
    timings = found.take("rehearsal", lambda: dry_run_task(config, start, teacher, task, dtype))
    if timings is not None:
        items, shared = len(task.train), planned.processes if device.type == "cuda" else 1
        planned = replace(planned, seconds=timings.seconds(config, items, len(task.validation)) / shared, measured_steps=timings.steps,
                          tokens_per_second=timings.tokens_per_second, total_steps=total_steps(config.train, items))
    return concluded(planned, found)


def _task_memory(config: FineTuneConfig, found: PreflightReport, planned: Plan, start: ModelEntry, teacher: ModelEntry | None,
                 length: int, here: str | None) -> Plan:
    """Return the plan with the memory of a step over items of `length` tokens.

    A task's head has a few outputs for each item: next to a language head's they count as none.
    """
    config = config.model_copy(update={"task": config.task.model_copy(update={"max_length": length})})
    student = replace(memory.shape_of(start), vocabulary=1)
    sizes = config, memory.shape_of(teacher) if teacher is not None else None, student, compute_bytes(config.train)
    planned = replace(planned, memory=memory.memory(*sizes, on_gpu=computes_on_gpu(config.train), processes=planned.processes))
    if here == "cpu":
        available = machine.memory_available()
        found.take("memory", lambda: preflight.require_memory(*sizes, available))
        planned = replace(planned, memory_available=available)
    return planned
