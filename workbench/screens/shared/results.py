"""Results of an experiment: the table of teacher, student before and after, and control, and its summary."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from core.config import ExperimentConfig
from core.evaluation.statistics import Estimate, item_interval, level_words, z_critical
from core.events import (
    CONTROL,
    STUDENT,
    STUDENT_AFTER,
    STUDENT_BEFORE,
    TEACHER,
    Annotating,
    Evaluation,
    ScoringTask,
    TrainingNetwork,
    WritingTexts,
)
from core.loss_terms import LOSS_TERMS
from core.metrics import RESULTS, metric
from core.reports.retention_card import Card
from core.system import units
from workbench.screens.shared.charts import Lines
from workbench.screens.shared.views import SHARES, number
from workbench.store import Store
from workbench.store.records import Event, Progress, Run

# Who is measured, in the order of the columns, and how the table calls it.
COLUMNS = {"teacher": "Teacher", "student_before": "Student before", "student_after": "Student after", "control": "Control"}
ROWS = RESULTS
ARROWS = {"lower": " ↓", "higher": " ↑", "none": ""}  # behind a metric's name: where better lies
SUBJECTS = {"student_after": "Student", "control": "Control", "student_before": "Student before", "teacher": "Teacher"}
TERMS = tuple(term.name for term in LOSS_TERMS)

# What the engine calls a phase, and whom it measures -> how a page says it.
PHASES = {"load teacher": "Loading the teacher", "load models": "Loading the models",
          "load bridge teacher": "Loading the writing teacher",
          "prepare data": "Reading the data and cutting it into blocks", "ask teacher": "Running the teacher",
          "try later stages": "Trying in small what comes after training", "train": "Preparing training",
          "steps": "Training", "evaluate": "Evaluating {who} on held-out text",
          "time one sequence": "Timing the models, one sequence at a time", "time a batch": "Timing the models, a batch at a time",
          "retention": "Scoring {who} on a labelled task{place}"}
MEASURED = {"teacher": "the teacher", "reading_teacher": "the reading teacher", "student": "the student",
            "student_before": "the student before training", "student_after": "the trained student", "control": "the trained control"}

COUNTED = ("sentiment_accuracy", "accuracy", "answer_f1")  # shares of items: their standard error is the measurement's own
OF_TOKENS = ("masked_accuracy", "agreement")  # shares of tokens

Metrics = Mapping[str, float]
Measurements = Mapping[str, Metrics]


def mean_text(mean: Estimate, name: str, *, signed: bool = False) -> str:
    """Return a mean with its margin; shares in percent, their margins and differences in points."""
    share = f"eval/{name}" in SHARES
    scale, unit = (100, " points" if signed else "%") if share else (1, "")
    value = f"{mean.value * scale:{'+' if signed else ''}.{3 if signed else 4}g}{unit}"
    return value if mean.margin is None else f"{value}\n± {mean.margin * scale:.2g}{' points' if share and not signed else ''}"


def student_depth(config: ExperimentConfig) -> int | None:
    """Blocks of the student as the configuration says it; None for half of the teacher's."""
    if config.student.from_scratch is not None:
        return config.student.from_scratch.layers
    return len(config.student.layer_map) if isinstance(config.student.layer_map, tuple) else config.student.layers


def evaluations(store: Store, run: Run) -> list[Evaluation]:
    """All evaluations so far, in their order."""
    return [Evaluation.from_dict(event.payload) for event in store.events(run.id, kind=Evaluation.kind)]


def measurements(store: Store, run: Run) -> dict[str, Mapping[str, float]]:
    """Subject -> metrics, of everything that has been measured so far; nothing for a chain, see `evaluations`."""
    return store.measurements(run.id)


def is_masked(measured: Measurements) -> bool:
    """Whether the run's models are masked language models, judged by their metrics."""
    return any("masked_accuracy" in metrics for metrics in measured.values())


def asks_for_card(run: Run) -> bool:
    """Whether a retention card is measured at the end; readable whatever release wrote the run."""
    return bool(json.loads(run.config_json).get("evaluation", {}).get("retention"))


def retention_card(store: Store, run: Run) -> Card | None:
    """Return the retention card, once it is measured."""
    events = store.events(run.id, kind=Card.kind)
    return Card.from_dict(events[-1].payload) if events else None


def result_table(measured: Measurements) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table: one row a metric, one column for each that was measured, and on how many items."""
    who = [each for each in COLUMNS if each in measured]
    rows = []
    for name in ROWS:
        if any(name in measured[each] for each in who):
            about = metric(f"eval/{name}", masked=is_masked(measured))
            label = f"{about.label} ({about.unit})" if about.unit else about.label
            rows.append([label, *(on_two_lines(cell(measured[each], name)) for each in who), _items(measured, name)])
    return ["", *(COLUMNS[each] for each in who), "Measured on"], rows


def chain_table(measured: Sequence[Evaluation]) -> tuple[list[str], list[list[str]]]:
    """Head and rows for a run that builds a chain: one row an anchor below the largest, as far as they were measured."""
    names = ("perplexity", "kl_to_teacher", "agreement")
    found = {(each.anchor, each.subject): each.metrics for each in measured}
    rows = []
    for each in sorted({each.anchor for each in measured if each.anchor is not None}):
        before, after = (found.get((each, subject), {}) for subject in (STUDENT_BEFORE, STUDENT_AFTER))
        rows.append([f"Anchor {each}", *(f"{cell(before, name)} → {cell(after, name)}" for name in names),
                     cell(found.get((each, TEACHER), {}), "perplexity")])
    return ["", *(metric(f"eval/{name}").label.capitalize() for name in names), "Its teacher's perplexity"], rows


def final_csv(measured: Measurements) -> str:
    """Everything that was measured, unrounded: one line a metric and model."""
    rows = [(who, name, value) for who in COLUMNS for name, value in measured.get(who, {}).items()]
    return pd.DataFrame(rows, columns=["model", "metric", "value"]).to_csv(index=False)


def curves_csv(curves: pd.DataFrame) -> str:
    """Every logged number: one line per variant, step and metric."""
    table = curves.sort_values(["arm", "name", "step"])[["arm", "step", "name", "value"]]
    return table.rename(columns={"name": "metric"}).to_csv(index=False)


def verdict(measured: Measurements) -> str:
    """Markdown: what distillation added over the control, or over the student before training; empty while that is not known."""
    after = measured.get("student_after")
    if after is None:
        return ""
    control = measured.get("control")
    other, against = (control, "the control, trained on the same tokens without the teacher") if control else (
        measured.get("student_before"), "the same student before training")
    if other is None:
        return ""
    both = [name for name in ROWS if name in after and name in other and name not in ("bits_per_byte", "majority_share")]
    lines = [f"- {_compared(name, after, other, masked=is_masked(measured))}" for name in both]
    fine_tuned_alone = "items" in after and "teacher" not in measured
    note = "" if control or fine_tuned_alone else "\n\nWithout a control the teacher's contribution is not isolated."
    return f"Compared with {against}:\n\n" + "\n".join(lines) + note


def teacher_lead(measured: Measurements) -> str:
    """Return how the teacher's loss on the held-out text compares with the student's before training; empty while that is not known."""
    losses = [item_interval("perplexity", measured.get(subject, {})) for subject in (TEACHER, STUDENT_BEFORE)]
    if any(each is None or each.low is None for each in losses):
        return ""
    teacher, student = (each for each in losses if each is not None)
    assert teacher.high is not None and student.low is not None
    words = [f"{number(each.value, 'eval/perplexity')} ({number(each.low, 'eval/perplexity')} to {number(each.high, 'eval/perplexity')})"
             for each in (teacher, student)]
    judged = ("The teacher knew this text better than the student did" if teacher.high < student.low else
              "The teacher knew this text no better than the student did: fine-tune it on the text first, or take another")
    return f"Perplexity before training: teacher {words[0]}, student {words[1]}. {judged}."


def terms_now(curves: Lines, *, masked: bool) -> str:
    """Return the student's loss at its last logged step by term, with shares; empty before the first step, and for one term."""
    latest = {name: curve.values[-1] for (variant, name), curve in curves.items() if variant == STUDENT}
    shares = [f"{latest[f'loss/{term}']:.3g} {metric(f'raw/{term}', masked=masked).label}" for term in TERMS if latest.get(f"loss/{term}")]
    return f"{' + '.join(shares)} = {latest['loss']:.3g}" if len(shares) > 1 and "loss" in latest else ""


def has_control(run: Run) -> bool:
    """Whether a control is trained after the student; readable whatever release wrote the run."""
    return bool(json.loads(run.config_json).get("control"))


def written(phases: Sequence[Event]) -> WritingTexts | None:
    """How far a bridge's teacher has come with its texts: ``done``, ``texts``, ``kept``, ``left_out``; None when it is not writing."""
    last = phases[-1].phase if phases else None
    return last if isinstance(last, WritingTexts) else None


def left_out_text(left_out: Mapping[str, int]) -> str:
    """Why texts were left out, as ``12 repetitive, 3 empty``."""
    return ", ".join(f"{count:,} {reason}" for reason, count in sorted(left_out.items(), key=lambda item: -item[1]))


def share_done(run: Run, phases: Sequence[Event] = ()) -> float:
    """How much of a run's time is over, from 0 to 1; while that is unknown, how much of its steps or of the items of its phase.

    While a bridge's teacher writes it is how much of its texts are written.
    """
    progress, texts = run.progress, written(phases)
    if texts is not None and progress.phase == WritingTexts.NAME:
        return min(texts.done / texts.texts, 1.0)
    last = phases[-1].phase if phases else None
    if isinstance(last, TrainingNetwork):
        return last.done / last.total
    if progress.share is not None and progress.seconds_left is not None:
        return min(progress.share, 1.0)
    if not progress.total:
        return min(progress.done / progress.items, 1.0) if progress.items else 0.0
    variants = 2 if has_control(run) else 1
    before = progress.total if progress.variant == CONTROL else 0
    return min((before + progress.step) / (variants * progress.total), 1.0)


def steps_text(run: Run) -> str:
    """Return the steps of every variant, as ``student 150/150, control 52/150``; without a control ``52/150``; empty before the first."""
    progress = run.progress
    if not progress.total:
        return ""
    if not has_control(run):
        return f"{progress.step:,}/{progress.total:,}"
    student, control = (progress.total, progress.step) if progress.variant == CONTROL else (progress.step, 0)
    return f"student {student:,}/{progress.total:,}, control {control:,}/{progress.total:,}"


def remaining_seconds(run: Run, phases: Sequence[Event]) -> tuple[float, float] | None:
    """Return the seconds that the variant in training and all variants still need, evaluations included.

    Estimated from the logged time of its
    steps. None while that is unknown, as after a resume.

    Args:
        phases: the run's events of that kind, in their order.
    """
    progress = run.progress
    began = [event for event in phases if event.phase.name == "steps" and event.phase.variant == progress.variant]
    if not (progress.total and progress.step and run.heartbeat and len(began) == 1):
        return None
    pace = (run.heartbeat - began[0].time) / progress.step
    if pace <= 0:  # the clock was set back meanwhile
        return None
    here = pace * (progress.total - progress.step)
    return here, here + (pace * progress.total if progress.variant == STUDENT and has_control(run) else 0.0)


def progress_text(run: Run, phases: Sequence[Event] = ()) -> str:
    """Return what a started run does now, in words."""
    progress = run.progress
    if run.status == "starting" or progress.phase is None:
        return "Starting."
    if progress.phase in ("steps", "train") and progress.total:
        left, seconds = "", remaining_seconds(run, phases)
        if progress.seconds_left is not None:
            left = _left(progress)
        elif seconds is not None:
            here, everything = map(units.duration, seconds)
            left = f", about {here} left with its evaluations" + (f", {everything} with the control" if everything != here else "")
        in_control = progress.variant == CONTROL
        before = f"Student {progress.total:,}/{progress.total:,}, then the control" if in_control else "Training the student"
        return f"{before}: step {progress.step:,} of {progress.total:,}{left}"
    texts = written(phases)
    if texts is not None and progress.phase == WritingTexts.NAME:
        left_out = left_out_text(texts.left_out)
        return (f"{texts.done:,} of {texts.texts:,} texts generated, {texts.kept:,} kept"
                + (f"; filtered: {left_out}" if left_out else ""))
    last = phases[-1].phase if phases else None
    if isinstance(last, Annotating) and last.name == progress.phase:
        return f"Notes of {last.behaviour}: {last.done:,} of {last.sentences:,} sentences, {last.dropped:,} answers dropped"
    if isinstance(last, TrainingNetwork) and progress.phase == TrainingNetwork.NAME:
        return f"Training the {last.network} of seed {last.seed}: network {last.done + 1} of {last.total} …"
    subject = last.subject if last is not None and last.name == progress.phase else None
    words = PHASES.get(progress.phase, f"{progress.phase[0].upper()}{progress.phase[1:]}")
    place = f", {last.done + 1} of {last.total}" if isinstance(last, ScoringTask) and last.name == progress.phase else ""
    place = place or (f", {progress.done:,} of {progress.items:,}" if progress.items else "")
    place = f"{place}{_left(progress)}"
    doing = words.format(who=MEASURED.get(subject or "", "a model"), place=place)
    return f"{doing if '{place}' in words else f'{doing}{place}'} …"


def _left(progress: Progress) -> str:
    """Return what a run still needs, all variants and evaluations included; empty while that is unknown."""
    return "" if progress.seconds_left is None else f", about {units.duration(progress.seconds_left)} left in all"


def on_two_lines(text: str) -> str:
    """Return a value with its interval below it, in one piece."""
    return text.replace(" (", "\n(").replace(" to ", "\u00a0to\u00a0")


def cell(metrics: Mapping[str, float], name: str) -> str:
    """Return a metric as text, with its interval where it has one; a dash where it was not measured."""
    text = number(metrics.get(name), f"eval/{name}")
    found = item_interval(name, metrics) if name in metrics else None
    if found is None or found.low is None:
        return text
    return f"{text} ({number(found.low, f'eval/{name}')} to {number(found.high, f'eval/{name}')})"


def _items(measured: Measurements, name: str) -> str:
    key, unit = ("sentiment_items", "reviews") if name == "sentiment_accuracy" else (
        "tokens", "masked tokens" if is_masked(measured) else "tokens")
    if any("items" in metrics for metrics in measured.values()):
        key = unit = "items"
    counts = {int(metrics[key]) for metrics in measured.values() if key in metrics}
    found = next((found for metrics in measured.values() if name in metrics and (found := item_interval(name, metrics))), None)
    spread = f" ({replace(found, n=None, over='').interval_words})" if found else ""
    return f"{', '.join(f'{each:,}' for each in sorted(counts))} {unit}{spread}" if counts else ""


def _standard_error(name: str, metrics: Mapping[str, float]) -> float:
    """Of a share; 0 for what is no share, and for one that is not known to be of how many."""
    if name in COUNTED:
        return metrics["stderr"]
    tokens = metrics.get("tokens", 0) if name in OF_TOKENS else 0
    return math.sqrt(metrics[name] * (1 - metrics[name]) / tokens) if tokens else 0.0


def _compared(name: str, after: Mapping[str, float], other: Mapping[str, float], *, masked: bool) -> str:
    about = metric(f"eval/{name}", masked=masked)
    shown, than = number(after[name], f"eval/{name}"), number(other[name], f"eval/{name}")
    better = "better" if (after[name] < other[name]) == (about.better == "lower") else "worse"
    if shown == than:
        better = "the same"
    # Both were measured on the same text, so this interval is wider than a paired one. Tokens count as independent of each other,
    # which makes theirs narrower than it should be.
    elif abs(after[name] - other[name]) < z_critical() * math.hypot(_standard_error(name, after), _standard_error(name, other)):
        better = f"no difference beyond chance ({level_words()}, over the {'items' if name in COUNTED else 'tokens'})"
    return f"{about.label}: {shown} against {than}, {better}"


def details(run: Run) -> dict[str, Any]:
    """Return what is needed to trace a run."""
    versions = ", ".join(f"{name} {version}" for name, version in run.versions.items())
    return {"id": run.id, "seed": run.seed, "configuration hash": run.config_hash, "commit": run.git_commit or "–",
            "device": run.device or "–", "versions": versions, "folder": run.directory}
