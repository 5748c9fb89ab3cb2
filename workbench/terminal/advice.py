"""What to do about an error, in the words of the command line."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from core.errors import FetchModel, RunVerb, SetField, StillhouseError
from core.recipes import override

if TYPE_CHECKING:
    from core.planning.preflight import Check


def fix_text(problem: StillhouseError | Check) -> str:
    """Return what to do about an error or a failed check, with the words of the command line that do it."""
    match problem.suggestion:
        case SetField(field, value, guess):
            setting = f"--set {shlex.quote(override(field, value))}"
            if guess:
                return f"Did you mean {setting}?"
            return f"{problem.fix.rstrip('.')}: {setting}" if problem.fix else f"Use {setting}"
        case FetchModel(model):
            return f"{problem.fix.rstrip('.')}: python -m workbench fetch {shlex.quote(model)}"
        case RunVerb(verb, subject):
            return f"{problem.fix.rstrip('.')}: {shlex.join(filter(None, ('python', '-m', 'workbench', verb, subject)))}"
    said = f"{problem.given} {problem.expected}" if isinstance(problem, StillhouseError) else problem.message
    if problem.field and problem.fix and problem.field not in f"{said} {problem.fix}":
        separator = "" if problem.fix.endswith("?") else ":"
        return f"{problem.fix.rstrip('.')}{separator} --set {problem.field}=..."
    return problem.fix
