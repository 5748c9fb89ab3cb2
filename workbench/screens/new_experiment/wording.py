"""The engine's messages in the words of the form: fields by their labels, the user's file by its own name, no command line."""

from __future__ import annotations

import re

from core.config import MaskingSpec
from workbench.screens.new_experiment.controls import CONTROLS
from workbench.screens.new_experiment.uploads import shown_name

# What the engine says about command lines -> what the form says, in this order.
SENTENCES = (
    (r"Name the column with the text, as in --set data\.column=\S+ \(", "Choose the column with the text under 'Column' ("),
    (r"Name the column that holds the text, as in --set data\.column=[^\s,]+, ", "Choose the column that holds the text under 'Column', "),
    (r"Did you mean --set data\.column=(.+?)\?", r"Did you mean '\1'? Choose it under 'Column'."),
    (r"Set data\.column to one of them\.", "Choose one of them under 'Column'."),
    (r"Fetch it first: python -m workbench fetch \S+", "Fetch it first, on the Models page."),
    (r":? python -m workbench [^.]*(\.|$)", "."),
    (r", or as in --set [^.]*(\.|$)", "."),
)


def in_form(message: str, source: str = "") -> str:
    """A message of the engine as the form says it.

    Args:
        source: the corpus that is read; one that was uploaded is called by the name that it had.
    """
    if source:
        message = message.replace(source, shown_name(source))
    for pattern, words in SENTENCES:
        message = re.sub(pattern, words, message)
    for path in sorted(CONTROLS, key=len, reverse=True):
        if "." in path:
            message = re.sub(rf"(?<![\w.]){re.escape(path)}(?![\w]|\.\w)", f"'{CONTROLS[path].label}'", message)
    return message


def masking(spec: MaskingSpec) -> str:
    """How a text is masked, in one sentence."""
    kept = round(1 - spec.mask - spec.random, 6)
    rest = f" and {kept:.0%} stay as they are" if kept else ""
    rare = ", rare ones more often" if spec.rarity else ""
    return (f"At every step {spec.fraction:.0%} of the {'words' if spec.whole_words else 'tokens'} are asked for{rare}: {spec.mask:.0%} of "
            f"them are masked, {spec.random:.0%} are replaced by any token{rest}.")
