"""Runs and models as the command line shows them: plain data for ``--json``, lines and tables for people."""

from __future__ import annotations

import json
import math
import textwrap
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.evaluation.statistics import Estimate, item_interval
from core.models.dimensions import as_record
from core.reports import retention_text
from core.reports.retention_card import Card
from core.reports.run_report import RunReport
from core.reports.specialists_report import SpecialistsSummary
from core.studies.ablation import results
from core.studies.ablation.results import Ablation
from core.studies.claims import outcomes
from core.studies.claims.rules import VERDICT_NAMES
from core.system import units
from workbench.store import Store
from workbench.store.records import Progress, Run
from workbench.terminal.advice import fix_text

if TYPE_CHECKING:
    from core.evaluation.blanks import Fill
    from core.evaluation.classes import ClassShare
    from core.export.exporting import Exported
    from core.models.entries import ModelEntry
    from core.planning.requirements import Plan
    from core.reports.measure import Measurement
    from core.studies.claims.claim import Claim
    from core.studies.claims.outcomes import Outcome

WIDTH = 110  # characters of a line of text


def plain(value: Any) -> Any:
    """Return a value as strict JSON has it: paths as text; NaN and infinity, which JSON lacks, as null."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def run_document(run: Run) -> dict[str, Any]:
    """Return the record of a run, without its metrics and configuration."""
    same = ("name", "status", "message", "created", "started", "finished", "deleted", "device", "seed", "config_hash", "command",
            "parents", "versions", "git_commit", "directory", "output_dir")
    return {"run_id": run.id, **{key: getattr(run, key) for key in same}, "hint": hint(run), "progress": _progress_record(run.progress),
            "pid": run.process.pid if run.process else None}


def _progress_record(progress: Progress) -> dict[str, Any]:
    """Return the progress under its stored names."""
    return {"phase": progress.phase, "arm": progress.variant, "step": progress.step, "total": progress.total}


def hint(run: Run) -> str | None:
    """Return what to do about the end of a run."""
    error = run.error if run.error_json else None
    return run.hint if error is None else fix_text(error)


def run_details(run: Run, store: Store) -> dict[str, Any]:
    """Everything about a run: its document, configuration, latest numbers and report."""
    reports = store.events(run.id, kind=RunReport.kind)  # as stored: what a card sums up is not computed again
    return {**run_document(run), "config": json.loads(run.config_json), "latest_metrics": store.latest_metrics(run.id),
            "report": reports[-1].payload if reports else None}


def run_table(runs: Sequence[Run]) -> str:
    """Return runs as a table, or what to do when there is none."""
    if not runs:
        return "No runs yet. Start one: python -m workbench distill assets/recipes/quickstart.yaml"
    rows = [(run.name, run.status, _progress(run), _local_time(run.created), run.id) for run in runs]
    return table(("NAME", "STATUS", "STEP", "CREATED", "ID"), rows)


def run_text(run: Run, store: Store) -> str:
    """Return a run in full, for people."""
    facts = [("run", f"{run.name}  ({run.id})"), ("status", run.status), ("step", _progress(run)), ("device", run.device),
             ("created", _local_time(run.created)), ("started", run.started and _local_time(run.started)),
             ("finished", run.finished and _local_time(run.finished)), ("message", run.message), ("to do", hint(run)),
             ("folder", run.directory), ("log", run.log_path), ("command", run.command)]
    lines = [f"{label:<10}{value}" for label, value in facts if value]
    for variant, values in store.latest_metrics(run.id).items():
        lines += ["", f"{variant}, latest values"]
        lines += [f"  {name:<26}{value:.6g}" for name, value in sorted(values.items())]
    report = store.report(run.id)
    if isinstance(report, RunReport):
        lines += ["", card_text(report.retention)] if report.retention else []
        lines += ["", specialists_text(report.specialists)] if report.specialists else []
    return "\n".join(lines)


def specialists_text(summary: SpecialistsSummary) -> str:
    """Return what generalist and specialists came to, for people."""
    def interval(value: Estimate) -> str:
        return "" if value.low is None or value.high is None else f"{100 * value.low:.1f} to {100 * value.high:.1f}"

    seeds, first = len(summary.repetitions), summary.repetitions[0]
    numbers = [(name.replace("_", " "), f"{100 * value.value:.1f}", interval(value)) for name, value in summary.numbers.items()]
    each = [(", ".join(summary.labels[number] for number in gain.classes), gain.items, f"{100 * gain.generalist:.1f}",
             f"{100 * gain.specialist:.1f}", interval(gain.difference) if gain.difference else "") for gain in first.improvements]
    return "\n\n".join([f"specialists, percent and points, means over {seeds} seed{'s' if seeds > 1 else ''}",
                        table(("", "MEAN", "95% CI"), numbers), "each specialist on its classes, first seed",
                        table(("CLASSES", "ITEMS", "GENERALIST", "SPECIALIST", "95% CI OF THE DIFFERENCE"), each)])


def card_text(card: Card) -> str:
    """Return a retention card for people."""
    head, rows = retention_text.table(card)
    return "\n\n".join(["retention card", table([each.upper() for each in head], rows),
                        *(textwrap.fill(note, WIDTH) for note in retention_text.notes(card))])


def model_document(entry: ModelEntry) -> dict[str, Any]:
    """One entry of the catalogue."""
    return entry.to_dict()


def model_table(entries: Sequence[ModelEntry]) -> str:
    """Return the catalogue as a table."""
    rows = [(entry.name, entry.kind, entry.layers, entry.hidden, entry.parameters and units.count(entry.parameters),
             "yes" if entry.present else "no", entry.source) for entry in entries]
    return table(("NAME", "KIND", "LAYERS", "WIDTH", "PARAMETERS", "PRESENT", "SOURCE"), rows)


def blanks_text(blanks: Sequence[Sequence[Fill]]) -> str:
    """Return the fills of every blank, for people."""
    tables = [table(("TOKEN", "PROBABILITY"), [(fill.token, f"{fill.probability:.2%}") for fill in fills]) for fills in blanks]
    return tables[0] if len(tables) == 1 else "\n\n".join(f"blank {number}\n{each}" for number, each in enumerate(tables, start=1))


def classes_text(shares: Sequence[ClassShare]) -> str:
    """Return the classes of a text, the likeliest first, for people."""
    falling = sorted(shares, key=lambda share: -share.probability)
    return table(("CLASS", "PROBABILITY"), [(share.label, f"{share.probability:.2%}") for share in falling])


def plan_document(plan: Plan) -> dict[str, Any]:
    """Return a plan as plain data."""
    return plan.to_dict() | {"checks": [asdict(check) | {"fix": fix_text(check)} for check in plan.checks]}


def plan_text(plan: Plan) -> str:
    """Return a plan as text: its checks with their fixes, then its numbers; unknown numbers are left out."""
    lines = []
    for check in plan.checks:
        sign = "!" if check.caution else "ok" if check.ok else "NO"
        lines.append(f"{sign:<4}{check.name}: {check.message}")
        if fix := fix_text(check):
            lines.append(f"    {fix}")
    facts = [("parameters trained", plan.trainable_parameters, "{:,}"), ("layer map", plan.layer_map, "{}"),
             ("tokens per step", plan.tokens_per_step, "{:,}"), ("tokens that count", plan.counted_share, "{:.1%}"),
             ("steps", plan.total_steps, "{:,}"),
             ("memory", plan.memory and units.format_gib(plan.memory.total), "{}"),
             ("memory available", plan.memory_available and units.format_gib(plan.memory_available), "{}"),
             ("disk", plan.disk_bytes and units.format_gib(plan.disk_bytes), "{}"), ("speed", plan.tokens_per_second, "{:,.0f} tokens/s"),
             ("time", plan.seconds and units.duration(plan.seconds), f"{{}}, from {plan.measured_steps} real steps")]
    return "\n".join([*lines, "", *(f"{label:<20}{form.format(value)}" for label, value, form in facts if value is not None)])


def export_document(made: Exported, out: Path) -> dict[str, Any]:
    """Return an export as text: its format, its folder, and the agreement of each form with the model."""
    return {**as_record(made), "output_dir": str(out)}


def export_text(made: Exported, out: Path) -> str:
    """Return an export for people: sizes, times on one thread, and agreement with torch."""
    rows = []
    for form, measured in made.forms.items():
        agreement = measured.agreement
        rows.append((form, units.format_bytes(measured.bytes), f"{measured.milliseconds:.2f} ms", *((None,) * 3 if agreement is None else (
            f"{agreement.top1:.1%} of {agreement.positions}", f"{agreement.largest_probability_difference:.2g}",
            f"{agreement.mean_probability_difference:.2g}"))))
    head = ("FORM", "SIZE", "ONE TEXT", "SAME TOP-1", "LARGEST DIFFERENCE", "MEAN DIFFERENCE")
    return "\n".join([f"{made.model} as {made.form}: {out}", *(["", table(head, rows)] if rows else [])])


def measurement_document(measured: Measurement) -> dict[str, Any]:
    """Return a model's metrics on one task as plain data."""
    return asdict(measured)


def measurement_table(measured: Sequence[Measurement]) -> str:
    """Return one line a model and task: the headline score with its interval over the items, then the others."""
    rows, methods = [], dict[str, None]()
    for each in measured:
        others = [f"{name} {value:.4g}" for name, value in each.metrics.items()
                  if name not in (each.headline, "stderr", "tokens", "bytes") and "items" not in name]
        found = item_interval(each.headline, each.metrics)
        error = "" if found is None or found.low is None else f" ({found.low:.3f} to {found.high:.3f})"
        methods |= {} if found is None else {replace(found, n=None).interval_words: None}
        rows.append((each.model, each.task, f"{each.headline} {each.metrics[each.headline]:.4g}{error}", f"{each.counted:,} {each.unit}",
                     ", ".join(others)))
    return "\n".join([table(("MODEL", "TASK", "SCORE", "MEASURED ON", "ALSO"), rows),
                      *([f"in brackets {' or '.join(methods)}"] if methods else [])])


def claim_document(claim: Claim, found: tuple[Outcome, str] | None) -> dict[str, Any]:
    """Return a claim with its outcome, if it was tested, as plain data."""
    known = {key: getattr(claim, key) for key in ("title", "system", "statement", "published", "check", "pitfalls", "seconds")}
    document = {"claim": claim.name, **known, "source": asdict(claim.source), "rule": claim.rule.words, "verdict": None,
                "version": claim.version, "units": claim.units, "earlier": [each.to_dict() for each in outcomes.earlier(claim)]}
    if found is None:
        return document
    outcome, place = found
    return {**document, **outcome.to_dict(), "made": place}


def outcome_document(claim: Claim, outcome: Outcome) -> dict[str, Any]:
    """Return the outcome of a claim that was tested now, as plain data."""
    return {**outcome.to_dict(), "title": claim.title, "published": claim.published, "source": asdict(claim.source),
            "rule": claim.rule.words}


def claim_table(claims: Sequence[tuple[Claim, tuple[Outcome, str] | None]]) -> str:
    """Return the claims with their verdicts."""
    rows = [(claim.name, outcomes.verdict_words(claim, found and found[0]), found and len(found[0].seeds), found and found[0].date[:10],
             units.duration(claim.seconds * len(claim.default_seeds)), claim.title) for claim, found in claims]
    return table(("NAME", "VERDICT", "SEEDS", "DATE", "TAKES ABOUT", "CLAIM"), rows)


def outcome_text(claim: Claim, outcome: Outcome) -> str:
    """Return the outcome of a claim for people: its verdict, then means with their intervals over the seeds."""
    intervals = {figure.name: outcome.numbers[figure.name].interval for figure in claim.figures}
    kind = next(iter(intervals.values())).interval_words
    lines = [f"{claim.name}  {claim.title}: {VERDICT_NAMES[outcome.verdict]}", f"rule      {claim.rule.words}",
             f"paper     {claim.published} ({claim.source.arxiv}, {claim.source.place})", f"units     {claim.units}",
             f"seeds     {', '.join(map(str, outcome.seeds))}; {units.duration(outcome.seconds)}",
             f"numbers   mean{f' ± half of its {kind}' if kind else ' of one seed, without an interval'}", ""]
    for figure in claim.figures:
        found = intervals[figure.name]
        margin = "" if found.margin is None else f" ± {found.margin:.2g}"
        lines.append(f"  {f'{figure.name} ':<28}{f'{found.value:.4g}{margin} {figure.unit}'.strip():<30}  {figure.words}")
    return "\n".join(lines)


def ablation_text(found: Ablation) -> str:
    """Return an ablation for people: means of the whole recipe, then what leaving out each part changes."""
    head, rows = results.table(found)
    kind = "; ± half of the 95% CI, Student's t over the seeds" if len(found.seeds) > 1 else ", without an interval"
    facts = (f"{found.name}: what leaving out each part changes; seeds {', '.join(map(str, found.seeds))}, paired{kind}; "
             f"{units.duration(found.seconds)} of training. Published: GLUE macro, arXiv {results.PAPER}, "
             f"{results.PLACE}.")
    return "\n\n".join([textwrap.fill(facts, WIDTH), table(head, rows), "\n".join(results.verdicts(found))])


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Left-aligned columns, as wide as their widest cell; None is shown as a dash."""
    cells = [[("-" if value is None else str(value)) for value in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells)


def _progress(run: Run) -> str:
    return f"{run.progress.step}/{run.progress.total}" if run.progress.total else "-"


def _local_time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
