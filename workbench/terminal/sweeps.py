"""The verbs that start a sweep, and list, show, stop, resume, retry, delete and restore what was started."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from core.errors import ConfigError, StillhouseError
from workbench.terminal.answer import Answer
from workbench.terminal.experiments import read_experiment, read_place

if TYPE_CHECKING:
    from workbench.runs.sweeps import PlannedSweep
    from workbench.store import Store

ACTIONS = {"list": "", "show": "its results", "stop": "all its runs", "resume": "its stopped, failed and lost runs",
           "retry": "its failed and lost runs", "delete": "with its runs", "restore": "with its runs"}


def sweep(options: argparse.Namespace) -> Answer:
    """Queue a recipe with several values of some of its keys over several seeds, or say what that would take."""
    from core.studies.sweeps.axes import parse_axes
    from core.studies.sweeps.cells import SweepSpec, seeds_from
    from workbench.runs.sweep_estimate import expected_time
    from workbench.runs.sweeps import plan_sweep, start_sweep
    from workbench.store import Store
    from workbench.terminal import sweep_output

    store, config = Store(), read_experiment(options)
    spec = SweepSpec(config, parse_axes(options.grid), seeds_from(config.train.seed, options.seeds),
                     "grid" if options.random is None else "random", options.random)
    planned = plan_sweep(spec, store, skip_invalid=options.skip_invalid, place=read_place(options, store.home))
    time = expected_time(planned, store)
    if time.seconds is None and not options.no_measure:
        time = expected_time(planned, store, _measured(planned, store))
    text = sweep_output.plan_text(planned, time)
    document = sweep_output.plan_document(planned, time) | {"command": _command(options)}
    if options.dry_run:
        return Answer({**document, "started": False}, text)
    print(text, file=sys.stderr)
    name = options.name or f"{config.name}-sweep"
    started = start_sweep(planned, store, name=name, command=_command(options))
    runs = [each.run.id for each in store.sweep_runs(started.id)]
    return Answer({**document, "started": True, "sweep_id": started.id, "name": started.name, "run_ids": runs},
                  f"{started.name}: {len(runs)} runs are queued.\nProgress and results: python -m workbench sweeps show {started.name}")


def sweeps(options: argparse.Namespace) -> Answer:
    """List, show, stop, resume, retry, delete or restore sweeps."""
    from workbench.runs import jobs
    from workbench.store import Store
    from workbench.terminal import sweep_output

    store = Store()
    jobs.reconcile(store)
    if options.action_name == "list":
        found = store.sweeps(include_deleted=options.deleted)
        return Answer([sweep_output.listed_document(each, store) for each in found], sweep_output.table_of(found, store))
    if not options.subject:
        raise ConfigError(f"sweeps {options.action_name} needs the name of a sweep.", "",
                          f"Name it: python -m workbench sweeps {options.action_name} NAME")
    verb: Callable[[argparse.Namespace, Store], Answer] = {
        "show": _show, "stop": _stop, "resume": _resume, "retry": _retry, "delete": _delete, "restore": _restore}[options.action_name]
    return verb(options, store)


def _show(options: argparse.Namespace, store: Store) -> Answer:
    from workbench.terminal import sweep_output

    found = store.sweep(options.subject)
    return Answer(sweep_output.results_document(found, store, options.metric), sweep_output.results_text(found, store, options.metric))


def _stop(options: argparse.Namespace, store: Store) -> Answer:
    from workbench.runs import sweeps as queue

    found = store.sweep(options.subject)
    return _changed(options, store, f"{queue.stop_all(found, store)} runs stop; those that train save a checkpoint first.")


def _resume(options: argparse.Namespace, store: Store) -> Answer:
    from workbench.runs import sweeps as queue

    return _changed(options, store, f"{queue.resume(store.sweep(options.subject), store)} runs are queued again.")


def _retry(options: argparse.Namespace, store: Store) -> Answer:
    from workbench.runs import sweeps as queue

    return _changed(options, store, f"{queue.retry_failed(store.sweep(options.subject), store)} runs are queued again.")


def _delete(options: argparse.Namespace, store: Store) -> Answer:
    from workbench.runs import sweeps as queue
    from workbench.terminal import sweep_output

    found = store.delete_sweep(options.subject)
    if options.purge:
        document = sweep_output.listed_document(found, store)
        queue.purge(found, store)
        return Answer({**document, "purged": True}, f"{found.name} was deleted permanently, with its runs.")
    return _changed(options, store, f"is in the bin, with its runs. Undo: python -m workbench sweeps restore {found.name}", colon=False)


def _restore(options: argparse.Namespace, store: Store) -> Answer:
    store.restore_sweep(options.subject)
    return _changed(options, store, "is back, with its runs.", colon=False)


def _changed(options: argparse.Namespace, store: Store, text: str, *, colon: bool = True) -> Answer:
    from workbench.terminal import sweep_output

    found = store.sweep(options.subject)
    return Answer(sweep_output.listed_document(found, store), f"{found.name}{':' if colon else ''} {text}")


def _measured(planned: PlannedSweep, store: Store) -> float | None:
    """Return the seconds of one run of the first setting, by a few real steps; None for kinds that are not measured so.

    Raises:
        StillhouseError: with the models loaded, a check fails.
    """
    from core.planning.plan import plan
    from workbench.store import references

    config = planned.cells[0].config
    assert config is not None, "only settings that can be trained are planned"
    print("Timing a few steps of one setting …", file=sys.stderr)
    measured = plan(references.resolved(config, store), measure=True)
    for check in measured.checks:
        if not check.ok:
            raise StillhouseError(check.message, "", check.fix, field=check.field, suggestion=check.suggestion)
    return measured.seconds


def _command(options: argparse.Namespace) -> str:
    """Return the command line that repeats the sweep."""
    words = [word for flag, texts in (("--set", options.set), ("--grid", options.grid)) for text in texts for word in (flag, text)]
    words += ["--seeds", str(options.seeds)] + ([] if options.random is None else ["--random", str(options.random)])
    words += ["--skip-invalid"] * options.skip_invalid + ([] if options.name is None else ["--name", options.name])
    return shlex.join(["python", "-m", "workbench", "sweep", options.recipe, *words])

