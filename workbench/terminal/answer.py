"""The result of a verb, and how an error is shown."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.errors import FetchModel, SetField, StillhouseError
from core.recipes import override

if TYPE_CHECKING:
    from core.planning.preflight import Check
    from workbench.store.records import Run

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
    document = {"given": error.given, "expected": error.expected, "fix": fix_text(error), "field": error.field}
    return Answer({"error": document}, "", exit_code)


def print_error(error: StillhouseError) -> None:
    """Print an error to standard error, in one line."""
    print("error:", *filter(None, (error.given, error.expected, fix_text(error))), file=sys.stderr)


def fix_text(problem: StillhouseError | Check) -> str:
    """Return what to do about an error or a failed check, with the words of the command line that do it."""
    match problem.suggestion:
        case SetField(field, value, guess):
            setting = f"--set {shlex.quote(override(field, value))}"
            return f"Did you mean {setting}?" if guess else f"{problem.fix.rstrip('.')}: {setting}"
        case FetchModel(model):
            return f"{problem.fix.rstrip('.')}: python -m workbench fetch {shlex.quote(model)}"
    said = f"{problem.given} {problem.expected}" if isinstance(problem, StillhouseError) else problem.message
    if problem.field and problem.fix and problem.field not in f"{said} {problem.fix}":
        return f"{problem.fix.rstrip('.')}: --set {problem.field}=..."
    return problem.fix
