"""What an experiment came to: the table of teacher, student before and after, and control, and one sentence about it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from core import quantities
from core.config import ExperimentConfig
from core.metrics import METRICS
from workbench.screens.shared.views import number
from workbench.store import Store
from workbench.store.records import Run

# Who is measured, in the order of the columns, and how the table calls it.
COLUMNS = {"teacher": "Teacher", "student_before": "Student before", "student_after": "Student after", "control": "Control"}
ROWS = ("perplexity", "bits_per_byte", "kl_to_teacher", "agreement", "sentiment_accuracy")

Measurements = Mapping[str, Mapping[str, float]]


def student_depth(config: ExperimentConfig) -> int | None:
    """Blocks of the student as the configuration says it; None for half of the teacher's."""
    if config.student.fresh is not None:
        return config.student.fresh.layers
    return len(config.student.layer_map) if isinstance(config.student.layer_map, tuple) else config.student.layers


def measurements(store: Store, run: Run) -> dict[str, dict[str, float]]:
    """Who -> metrics, of everything that has been measured so far."""
    return {event.payload["who"]: event.payload["metrics"] for event in store.events(run.id, kind="evaluation")}


def result_table(measured: Measurements) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table: one row a metric, one column for each that was measured, and on how many items."""
    who = [each for each in COLUMNS if each in measured]
    rows = []
    for name in ROWS:
        if any(name in measured[each] for each in who):
            label, unit = METRICS[f"eval/{name}"].label, METRICS[f"eval/{name}"].unit
            rows.append([f"{label} ({unit})" if unit else label, *(_cell(measured[each], name) for each in who), _items(measured, name)])
    return ["", *(COLUMNS[each] for each in who), "Measured on"], rows


def chain_table(measured: Measurements) -> tuple[list[str], list[list[str]]]:
    """Head and rows for a run that builds a chain: one row an anchor below the largest, as far as they were measured."""
    names = ("perplexity", "kl_to_teacher", "agreement")
    numbers = sorted({int(who.split()[1].rstrip(":")) for who in measured if who.startswith("anchor ")})
    rows = []
    for each in numbers:
        before, after = (measured.get(f"anchor {each}: {who}", {}) for who in ("student_before", "student_after"))
        rows.append([f"Anchor {each}", *(f"{_cell(before, name)} → {_cell(after, name)}" for name in names),
                     _cell(measured.get(f"anchor {each}: teacher", {}), "perplexity")])
    return ["", *(METRICS[f"eval/{name}"].label.capitalize() for name in names), "Its teacher's perplexity"], rows


def verdict(measured: Measurements) -> str:
    """Markdown: what distillation added over the control, or over the student before training; empty while that is not known."""
    after = measured.get("student_after")
    if after is None:
        return ""
    control = measured.get("control")
    other, against = (control, "the control, which saw the same tokens and no teacher") if control else (
        measured.get("student_before"), "the same student before training")
    if other is None:
        return ""
    lines = [f"- {_compared(name, after, other)}" for name in ROWS if name in after and name in other and name != "bits_per_byte"]
    note = "" if control else "\n\nWithout a control this does not show what the teacher added."
    return f"Compared with {against}:\n\n" + "\n".join(lines) + note


def remaining_seconds(run: Run, latest: Mapping[str, float]) -> float | None:
    """Training time left from the speed so far, evaluation excluded; None while it cannot be told.

    Args:
        latest: the last value of each metric of the arm that is being trained.
    """
    progress, speed, tokens = run.progress, latest.get("tokens_per_second"), latest.get("tokens")
    if not (progress.total and progress.step and speed and tokens):
        return None
    steps = progress.total - progress.step + (progress.total if progress.arm == "student" and run.config.control else 0)
    return steps * tokens / progress.step / speed


def progress_text(run: Run, seconds_left: float | None) -> str:
    """What the run is doing, in words."""
    progress = run.progress
    if run.status == "queued":
        return "Waiting for its turn: one run at a time on each device."
    if run.status == "starting" or progress.phase is None:
        return "Starting."
    if progress.phase in ("steps", "train") and progress.total:
        left = f", about {quantities.duration(seconds_left)} of training left" if seconds_left is not None else ""
        return f"Training the {progress.arm}: step {progress.step:,} of {progress.total:,}{left}"
    return f"{progress.phase[0].upper()}{progress.phase[1:]} …"


def _cell(metrics: Mapping[str, float], name: str) -> str:
    text = number(metrics.get(name), f"eval/{name}")
    return f"{text} ± {metrics['stderr']:.1%}" if name == "sentiment_accuracy" and "stderr" in metrics else text


def _items(measured: Measurements, name: str) -> str:
    key, unit = ("sentiment_items", "reviews") if name == "sentiment_accuracy" else ("tokens", "tokens")
    counts = {int(metrics[key]) for metrics in measured.values() if key in metrics}
    return f"{', '.join(f'{each:,}' for each in sorted(counts))} {unit}" if counts else ""


def _compared(name: str, after: Mapping[str, float], other: Mapping[str, float]) -> str:
    metric = METRICS[f"eval/{name}"]
    shown, than = number(after[name], f"eval/{name}"), number(other[name], f"eval/{name}")
    better = "better" if (after[name] < other[name]) == (metric.better == "lower") else "worse"
    if shown == than:
        better = "the same"
    # Both were measured on the same reviews, so this interval is wider than a paired one: it claims too little, never too much.
    elif name == "sentiment_accuracy" and abs(after[name] - other[name]) < 1.96 * math.hypot(after["stderr"], other["stderr"]):
        better = "no difference beyond chance"
    return f"{metric.label}: {shown} against {than}, {better}"


def details(run: Run) -> dict[str, Any]:
    """What is needed to trace a run."""
    versions = ", ".join(f"{name} {version}" for name, version in run.versions.items())
    return {"id": run.id, "seed": run.seed, "configuration hash": run.config_hash, "commit": run.git_commit or "–",
            "device": run.device or "–", "versions": versions, "folder": run.directory}
