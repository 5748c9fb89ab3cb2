"""The engine's errors in the words of the form: fields by their labels, the user's file by its own name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from core.config import MaskingSpec
from core.errors import FetchModel, SetField, StillhouseError
from workbench.screens.new_experiment.controls import CONTROLS
from workbench.screens.shared.uploads import shown_name

if TYPE_CHECKING:
    from core.planning.preflight import Check


LABELS = {path: control.label for path, control in CONTROLS.items() if "." in path}


def in_form(problem: StillhouseError | Check, source: str = "", labels: Mapping[str, str] = LABELS) -> str:
    """Return an error, or a failed check of a plan, as a form shows it.

    Args:
        source: the dataset that is read; an uploaded file is shown by the name that it had.
        labels: dotted key of the recipe -> the label of its field in the form.
    """
    message = f"{problem.given} {problem.expected}".strip() if isinstance(problem, StillhouseError) else problem.message
    text = f"{message} {_fix(problem, message, labels)}".strip()
    if source:
        text = text.replace(source, shown_name(source))
    for path in sorted(labels, key=len, reverse=True):
        text = re.sub(rf"(?<![\w.]){re.escape(path)}(?![\w]|\.\w)", f"'{labels[path]}'", text)
    return text


def _fix(problem: StillhouseError | Check, message: str, labels: Mapping[str, str]) -> str:
    """Return what to do, with the label of the field to change."""
    match problem.suggestion:
        case SetField(field, value, guess) if guess:
            return f"Did you mean '{value}'? Choose it under '{labels.get(field, field)}'."
        case SetField(field, value) if isinstance(value, str) and field in labels:
            return f"{problem.fix.rstrip('.')}: '{value}' under '{labels[field]}'."
        case FetchModel():
            return f"{problem.fix.rstrip('.')}, on the Models page."
    if problem.field and problem.fix and problem.field not in f"{message} {problem.fix}":
        where = f"under '{labels[problem.field]}'" if problem.field in labels else f"({problem.field})"
        return f"{problem.fix.rstrip('.')} {where}."
    return problem.fix


def masking(spec: MaskingSpec) -> str:
    """Return how a text is masked, in one sentence."""
    unchanged = round(1 - spec.mask_replace_prob - spec.random_replace_prob, 6)
    rest = f", and {unchanged:.0%} are left unchanged" if unchanged else ""
    unit = "words" if spec.whole_word_mask else "tokens"
    rare = ", rare ones more often" if spec.mlm_smoothing else ""
    return (f"At every step {spec.mlm_probability:.0%} of the {unit} are masked and predicted{rare}: "
            f"{spec.mask_replace_prob:.0%} of them are replaced by [MASK], {spec.random_replace_prob:.0%} by a random token{rest}.")
