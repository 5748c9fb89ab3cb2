"""Sweeps as the command line shows them: plain data for ``--json``, lines and tables for people."""

from __future__ import annotations

import textwrap
from dataclasses import asdict
from typing import Any

from core.errors import ConfigError
from core.evaluation.statistics import Estimate
from core.events import STUDENT_AFTER
from core.metrics import METRICS, RESULTS
from core.studies.sweeps.ranking import CellScores, Ranking, rank
from core.system import units
from workbench.runs.sweep_estimate import SweepTime, seconds_left
from workbench.runs.sweeps import PlannedSweep, progress_of, scores_of
from workbench.store import Store
from workbench.store.sweeps import Sweep, SweepRun
from workbench.terminal.output import WIDTH, table


def plan_document(planned: PlannedSweep, time: SweepTime) -> dict[str, Any]:
    """Return what a sweep would train and take, as plain data."""
    return {"settings": len(planned.cells), "seeds": list(planned.spec.seeds), "runs": planned.runs, "seconds": time.seconds,
            "time_from": time.source or None, "at_once": time.at_once, "ahead": time.ahead, "disk_bytes": planned.disk_bytes,
            "cells": [{"cell": cell.number, "values": cell.values} for cell in planned.cells], "left_out": planned.left_out}


def plan_text(planned: PlannedSweep, time: SweepTime) -> str:
    """Return what a sweep would train and take, for people."""
    settings, seeds = len(planned.cells), len(planned.spec.seeds)
    sources = {"earlier run": "by an earlier run of this recipe", "measured": "by a few measured steps"}
    takes = f"about {units.duration(time.seconds)}, {sources[time.source]}" if time.seconds is not None else "the time is not known yet"
    lines = [f"{planned.runs} runs: {settings} setting{'s' if settings > 1 else ''} × {seeds} seed{'s' if seeds > 1 else ''}; {takes}"
             f"{f', after {time.ahead} runs that wait or train' if time.ahead else ''}."]
    lines += [f"  {cell.number}  {cell.label}" for cell in planned.cells]
    lines += [f"  left out: {each['cell']}: {each['given']} {each['expected']}".rstrip() for each in planned.left_out]
    return "\n".join(lines)


def listed_document(sweep: Sweep, store: Store) -> dict[str, Any]:
    """Return a sweep without its results."""
    runs = store.sweep_runs(sweep.id, include_deleted=sweep.deleted is not None)
    progress = progress_of(runs)
    return {"sweep_id": sweep.id, "name": sweep.name, "status": progress.status, "counts": dict(progress.counts),
            "share": progress.share, "keys": sweep.keys, "runs": len(runs), "created": sweep.created, "deleted": sweep.deleted,
            "command": sweep.command}


def table_of(sweeps: list[Sweep], store: Store) -> str:
    """Return sweeps as a table, or what to do when there is none."""
    if not sweeps:
        return ("No sweeps yet. Start one: python -m workbench sweep assets/recipes/quickstart.yaml --grid losses.temperature=1,2,4 "
                "--seeds 3")
    rows = []
    for sweep in sweeps:
        progress = progress_of(store.sweep_runs(sweep.id, include_deleted=sweep.deleted is not None))
        rows.append((sweep.name, "in the bin" if sweep.deleted else progress.status, progress.text, ", ".join(sweep.keys) or "seeds alone"))
    return table(("NAME", "STATUS", "RUNS", "KEYS"), rows)


def results_document(sweep: Sweep, store: Store, metric: str | None) -> dict[str, Any]:
    """Return a sweep with everything that its runs measured; its best setting by one metric."""
    runs = store.sweep_runs(sweep.id, include_deleted=sweep.deleted is not None)
    cells = _scores(runs, store)
    ranking = _ranking(cells, metric)
    names = sorted({name for cell in cells for name in cell.measured})
    return {**listed_document(sweep, store), "seconds_left": seconds_left(runs), "metric": ranking.metric if ranking else None,
            "cells": [{"cell": cell.number, "values": dict(cell.values), "runs": cell.runs,
                       "metrics": {name: _estimate(cell.estimate(name)) for name in names if cell.estimate(name) is not None},
                       "by_seed": {name: {str(seed): value for seed, value in sorted(cell.measured[name].items())}
                                   for name in names if name in cell.measured}} for cell in cells],
            "best": _best(ranking), "left_out": sweep.left_out,
            "members": [{"run_id": each.run.id, "name": each.run.name, "status": each.run.status, "cell": each.cell,
                         "seed": each.run.seed, "own": each.own} for each in runs]}


def results_text(sweep: Sweep, store: Store, metric: str | None) -> str:
    """Return a sweep for people: progress, one row a setting, the best, what to know of the comparisons."""
    runs = store.sweep_runs(sweep.id, include_deleted=sweep.deleted is not None)
    cells, progress = _scores(runs, store), progress_of(runs)
    left = seconds_left(runs)
    rest = f", about {units.duration(left)} left" if left and progress.pending else ""
    lines = [f"{sweep.name}: {progress.status}; {progress.text}{rest}"]
    ranking = _ranking(cells, metric)
    if ranking is None:
        return "\n".join([*lines, "No run has been measured yet."])
    names = [name for name in RESULTS if any(cell.scores(name) for cell in cells)][:4]
    names = list(dict.fromkeys([ranking.metric, *names]))
    rows = [(cell.number, *(cell.values.get(key, "") for key in sweep.keys), len(cell.scores(ranking.metric)),
             *(_shown(cell.estimate(name)) for name in names)) for cell in (ranking.cells or cells)]
    lines += ["", table(("SETTING", *sweep.keys, "SEEDS", *(METRICS[f"eval/{name}"].label.upper() for name in names)), rows),
              "", "± is half of the 95% interval of the mean, Student's t over seeds; one seed has none."]
    return "\n".join([*lines, textwrap.fill(ranking.note, WIDTH)] if ranking.note else lines)


def _scores(runs: list[SweepRun], store: Store) -> list[CellScores]:
    return scores_of(runs, {each.run.id: store.measurements(each.run.id) for each in runs if each.run.status == "finished"}, STUDENT_AFTER)


def _ranking(cells: list[CellScores], metric: str | None) -> Ranking | None:
    measured = [name for name in RESULTS if any(cell.measured.get(name) for cell in cells)]
    if metric is not None and metric not in measured and measured:
        raise ConfigError(f"The metric '{metric}' was requested.", f"This sweep has measured: {', '.join(measured)}.", "Name one of them.")
    return rank(cells, metric or measured[0]) if measured else None


def _best(ranking: Ranking | None) -> dict[str, Any] | None:
    if ranking is None or ranking.best is None:
        return None
    return {"cell": ranking.best.number, "values": dict(ranking.best.values), **_estimate(ranking.estimate), "settings": len(ranking.cells),
            "comparisons": ranking.comparisons, "comparison_level": ranking.level, "alike": list(ranking.alike),
            "alike_alone": list(ranking.alike_alone), "note": ranking.note}


def _estimate(found: Estimate | None) -> dict[str, Any]:
    if found is None:
        return {}
    plain = asdict(found)
    return {"mean": plain.pop("value"), **plain}


def _shown(found: Estimate | None) -> str | None:
    if found is None:
        return None
    return f"{found.value:.4g}" + ("" if found.margin is None else f" ± {found.margin:.2g}")
