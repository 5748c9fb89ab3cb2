"""The verbs that carry out experiments, in the foreground or in the queue."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import ConfigError
from workbench.terminal.answer import INTERRUPTED, NOTHING, Answer, about_run, print_error

if TYPE_CHECKING:
    from core.config import ExperimentConfig
    from workbench.launch.launcher import SlurmSpec
    from workbench.runs.worker import Outcome


def distill(options: argparse.Namespace) -> Answer:
    """Train in the foreground; Ctrl-C stops with a checkpoint.

    Of processes that torchrun or accelerate launch started, the first does, and the others train with it.
    """
    from core.system import ranks
    from workbench.launch.job import Job
    from workbench.runs import jobs
    from workbench.runs.progress import ProgressLog
    from workbench.runs.worker import run_worker
    from workbench.store import Store

    store, config = Store(), read_experiment(options)
    ranks.join(config.train.device)
    if ranks.rank():
        Job.follow()
        return Answer(NOTHING, "")
    run = jobs.start_here(config, store, _command(options))
    if ranks.world() > 1:
        jobs.job_of(run, store).send()
    print(f"Run {run.name} ({run.id}) in {run.directory}", file=sys.stderr)
    progress = ProgressLog(sys.stderr)
    try:
        outcome = run_worker(run.id, store, watchers=(progress,))
    finally:
        progress.close()
    jobs.launch_next(store)
    if outcome.error is not None and outcome.error.exit_code == 2 and outcome.run.progress.step == 0:
        store.discard(run.id)  # a mistake that shows only once the models are loaded leaves nothing behind either
        raise outcome.error
    return _about_outcome(outcome)


def submit(options: argparse.Namespace) -> Answer:
    """Queue for the background, or submit to a cluster."""
    from workbench.runs import jobs, submission
    from workbench.store import Store

    store = Store()
    place = read_place(options, store.home)
    if place is None and options.dry_run:
        raise ConfigError("--dry-run was given for the queue of this machine.", "It prints the script of a cluster's job.",
                          "Add --launcher slurm, or see what a run needs: python -m workbench plan RECIPE")
    config = read_experiment(options)
    if place is not None and options.dry_run:
        planned = submission.preview(config, store, place)
        document = {"launcher": place.launcher, "host": place.host, "script": planned.script, "commands": list(planned.commands)}
        if planned.copies is None:
            return Answer({**document, "copies": [], "by_name": []}, planned.script)
        text = "\n".join([planned.script, f"# {planned.copies.text(str(place.host))}", *planned.commands])
        return Answer({**document, **planned.copies.to_dict()}, text)
    return about_run(jobs.submit(config, store, _command(options), place))


def read_place(options: argparse.Namespace, home: Path) -> SlurmSpec | None:
    """Return the settings of a cluster's jobs; None for the queue of this machine. Raises ConfigError."""
    from workbench.launch import settings

    if options.launcher == "slurm":
        return settings.overridden(settings.kept(home), options.launch, nodes=options.nodes)
    if options.launch or options.nodes is not None:
        raise ConfigError("--nodes or --launch was given for the queue of this machine.", "They are settings of a cluster.",
                          "Add --launcher slurm.")
    return None


def plan(options: argparse.Namespace) -> Answer:
    """Estimate memory, disk and time."""
    from core.planning import plan
    from workbench.store import Store, references
    from workbench.terminal import output

    config = references.resolved(read_experiment(options), Store())
    planned = plan.plan(config, measure=True) if options.measure else plan.static_plan(config, read_tokenizers=True)
    return Answer(output.plan_document(planned), output.plan_text(planned), 0 if planned.fits else 2)


def chain(options: argparse.Namespace) -> Answer:
    """Build a chain of anchors in the foreground; Ctrl-C stops with a checkpoint."""
    from core.config import ChainConfig
    from core.recipes import read_recipe

    if not isinstance(read_recipe(options.recipe, options.set), ChainConfig):
        raise ConfigError(f"The recipe '{options.recipe}' describes no chain.", "A section 'chain' with its anchors was expected.",
                          "See assets/recipes/house-chain.yaml, or use: python -m workbench distill")
    return distill(options)


def ablate(options: argparse.Namespace) -> Answer:
    """Train a recipe with and without each of its parts, in the foreground."""
    from core.studies.ablation.results import save_request
    from core.studies.ablation.run import run_ablation
    from core.studies.ablation.variants import variants
    from core.studies.seeds import seeds_of
    from workbench.runs.progress import ProgressLog
    from workbench.store import Store, references
    from workbench.terminal import output

    if options.seeds < 1:
        raise ConfigError(f"--seeds {options.seeds} was given.", "1 or more were expected; fewer than 3 say little about chance.")
    store, progress = Store(), ProgressLog(sys.stderr)
    config, _ = references.freeze_references(read_experiment(options), store)  # a missing model is reported before anything is written
    config = references.resolved(config, store)
    variants(config)
    try:
        save_request(config, options.seeds, _command(options))
        found = run_ablation(config, seeds_of(options.seeds), progress)
    except KeyboardInterrupt:
        print("\nFinished trainings are kept: the same command resumes after them.", file=sys.stderr)
        raise
    finally:
        progress.close()
    return Answer(found.to_dict(), output.ablation_text(found))


def interpolate(options: argparse.Namespace) -> Answer:
    """Create a model of any size from a chain."""
    from workbench.store import Store
    from workbench.terminal import chains

    return Answer(*chains.interpolate(options, Store()))


def read_experiment(options: argparse.Namespace) -> ExperimentConfig:
    """Return the configuration of a recipe's file with its overrides, under a name. Raises ConfigError."""
    from core.recipes import parse_recipe, read_recipe

    config = read_recipe(options.recipe, options.set)
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(options.recipe).stem).strip("-._")[:80]
    return parse_recipe({**config.to_dict(), "name": options.name or config.name or stem or None})


def _command(options: argparse.Namespace) -> str:
    """Return the command line that repeats the experiment in the foreground."""
    overrides = [word for override in options.set for word in ("--set", override)]
    name = [] if options.name is None else ["--name", options.name]
    verb = options.verb if options.verb in ("ablate", "chain") else "distill"
    seeds = ["--seeds", str(options.seeds)] if options.verb == "ablate" else []
    return shlex.join(["python", "-m", "workbench", verb, options.recipe, *overrides, *name, *seeds])


def _about_outcome(outcome: Outcome) -> Answer:
    from workbench.terminal import output

    run = outcome.run
    document = {"run_id": run.id, "name": run.name, "status": run.status, "message": run.message, "hint": output.hint(run),
                "output_dir": run.output_dir, **(outcome.report.to_dict() if outcome.report else {}), "command": run.command}
    if outcome.error is not None:
        print_error(outcome.error)
        return Answer(document, f"{run.name} failed. Its log: {run.log_path}", 1)
    if run.status != "finished":
        return Answer(document, f"{run.name}: {run.message} Resume it: python -m workbench resume {run.name}", INTERRUPTED)
    return Answer(document, f"{run.name} finished: {run.output_dir}\nShow it: python -m workbench show {run.name}")
