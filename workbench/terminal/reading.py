"""The verb that takes notes of a text without training on them."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from core.errors import ConfigError
from workbench.terminal.answer import INTERRUPTED, Answer


def annotate(options: argparse.Namespace) -> Answer:
    """Take the notes of a reading recipe, or resume it; Ctrl-C stops, and what was answered is kept."""
    from core.config import ReadingConfig
    from core.methods.reading import take_notes
    from core.models import catalog
    from core.recipes import read_recipe
    from core.recorder import StopRequested
    from workbench.runs.progress import ProgressLog
    from workbench.store import Store, references

    config = read_recipe(options.recipe, options.set)
    if not isinstance(config, ReadingConfig):
        raise ConfigError(f"The recipe '{options.recipe}' is of kind '{config.kind}'.", "One of kind reading was expected.",
                          "See assets/recipes/reading.yaml.", field="kind")
    out = Path(os.path.expanduser(options.out)) if options.out else None
    if out is not None and out.exists() and any(out.iterdir()):
        raise ConfigError(f"'{out}' is not empty.", "A folder that does not exist yet was expected.", "Choose another --out.")
    config = references.resolved(config, Store())
    assert isinstance(config, ReadingConfig), "its kind stays"
    progress = ProgressLog(sys.stderr)
    try:
        found = take_notes(config, progress, catalog.load)
    except (KeyboardInterrupt, StopRequested):
        print("\nWhat was answered is kept: the same command resumes after it.", file=sys.stderr)
        return Answer({"stopped": True}, "", INTERRUPTED)
    finally:
        progress.close()
    if out is not None:
        found.save(out)
    document = found.to_dict()
    dropped = "; ".join(f"{behaviour}: " + ", ".join(f"{count:,} {reason}" for reason, count in reasons.items())
                        for behaviour, reasons in document["dropped"].items() if reasons)
    text = (f"{found.source.teacher}: {document['sentences']:,} sentences of {document['paragraphs']:,} paragraphs, "
            f"{found.usable:,} of usable length; {found.queried:,} answers requested in {found.seconds:.1f} s, the others were kept.\n"
            + ("Its notes are exact by construction." if found.source.exact else f"{document['share_valid']:.1%} of the answers are valid."
               + (f" Dropped: {dropped}." if dropped else "")) + (f"\nNotes: {out / 'notes.arrow'}" if out is not None else ""))
    return Answer(document | {"stopped": False, "out": str(out) if out is not None else None}, text)
