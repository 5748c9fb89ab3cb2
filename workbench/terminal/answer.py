"""The result of a verb, and how an error is shown."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.errors import StillhouseError
from workbench.terminal.advice import fix_text

if TYPE_CHECKING:
    from workbench.store.records import Run

NOTHING = object()  # a document that is not printed: another process of the same command prints its own
INTERRUPTED = 130  # exit code of a program that Ctrl-C ended


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a verb: plain data for ``--json``, text for people, and the exit code."""

    document: Any
    text: str
    exit_code: int = 0


def about_run(run: Run) -> Answer:
    """Return the answer of a verb that changed a run: its data, and its status in a line."""
    from workbench.terminal import output

    return Answer(output.run_document(run), " ".join(filter(None, (f"{run.name} ({run.id}): {run.status}.", run.message))))


def about_error(error: StillhouseError, exit_code: int) -> Answer:
    """Print an error to standard error, and return it as the answer."""
    print_error(error)
    document = {"given": error.given, "expected": error.expected, "fix": fix_text(error), **({"field": error.field} if error.field else {})}
    return Answer({"error": document}, "", exit_code)


def print_error(error: StillhouseError) -> None:
    """Print an error to standard error, in one line."""
    print("error:", *filter(None, (error.given, error.expected, fix_text(error))), file=sys.stderr)
