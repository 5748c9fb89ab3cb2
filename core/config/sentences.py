"""What pydantic finds wrong with a recipe, as errors in plain words: what was given, what was expected, what to do."""

from __future__ import annotations

import contextlib
import difflib
import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from core.config.base import InvalidValueError
from core.config.experiment import ExperimentConfig
from core.config.fields import describe, fields_of
from core.errors import ConfigError

PATTERNS = {r"^(auto|cpu|cuda(:\d+)?)$": "auto, cpu, cuda or cuda:N"}  # of fields that are text of a certain form
SENTENCES = {
    "greater_than": "a number above {gt} was expected", "greater_than_equal": "a number of {ge} or more was expected",
    "less_than": "a number below {lt} was expected", "less_than_equal": "a number of at most {le} was expected",
    "int_type": "a whole number was expected", "int_from_float": "a whole number was expected",
    "float_type": "a number was expected", "finite_number": "a number that is not infinite was expected",
    "bool_type": "true or false was expected", "string_type": "text was expected",
    "string_too_short": "something must be given here", "missing": "something must be given here",
    "literal_error": "one of {expected} was expected", "string_pattern_mismatch": "one of {pattern} was expected",
    "tuple_type": "a list was expected", "too_short": "a list of at least {min_length} was expected",
    "too_long": "a list of at most {max_length} was expected",
    "model_type": "a section with keys and values was expected", "model_attributes_type": "a section with keys and values was expected",
}


def explained(detail: Mapping[str, Any], kind: type[ExperimentConfig]) -> ConfigError:
    """Return one finding of pydantic as an error."""
    # The tag of the kind comes first; members of a union put their own name into the path, and only keys are a user's words.
    unknown = detail["type"] == "extra_forbidden"  # its last part is a user's word, whatever it looks like
    *parts, last = map(str, detail["loc"][1:] or ("",))
    location = [part for part in (*parts, *([] if unknown else [last]))
                if part and not re.search(r"[\[\]()]|^(constrained|literal|function|Ramp)", part)] + ([last] if unknown else [])
    path, given = ".".join(location) or "the recipe", detail.get("input")
    known, field = dict(kind.model_fields), ""
    for part in location:
        if part not in known:
            break
        field, known = f"{field}.{part}".lstrip("."), fields_of(known[part])
    cause = detail.get("ctx", {}).get("error")
    suggestion = None
    if isinstance(cause, InvalidValueError):  # it knows the key better than the place of the validator
        field, suggestion = cause.field, cause.suggestion
    if unknown:
        near = difflib.get_close_matches(last[:100], known, n=1, cutoff=0.4)
        prefix = ".".join(location[:-1])
        fix = f"Did you mean '{prefix + '.' if prefix else ''}{near[0]}'?" if near else ""
        return ConfigError(f"Unknown key '{path}'.", f"Valid keys there: {', '.join(known)}.", fix, field=field or None)
    shown = json.dumps(given, default=str) if not isinstance(given, (dict, BaseModel)) else ""
    meaning = ""
    # A message about a whole section or an element of a list has no description of its own.
    if not isinstance(given, (dict, BaseModel)):
        with contextlib.suppress(KeyError):
            meaning = describe(path)
    given_text = (f"{path} was not given." if detail["type"] == "missing" else f"{path} was given as {shown}." if shown else
                  f"{path[0].upper()}{path[1:]} cannot be used as given.")
    return ConfigError(given_text, sentence(detail), f"It means: {meaning}." if meaning and suggestion is None else "", field=field or None,
                       suggestion=suggestion)


def sentence(detail: Mapping[str, Any]) -> str:
    """Return one detail of a ``ValidationError`` as a sentence."""
    context = {key: _shown(key, value) for key, value in detail.get("ctx", {}).items()}
    if context.get("class_name") == "Ramp":
        words = "a number, or start and end, was expected"
    else:
        words = SENTENCES.get(detail["type"], "").format_map(context) or detail["msg"].removeprefix("Value error, ").rstrip(".")
        if detail["type"] == "string_type" and isinstance(detail["input"], (int, float)):
            words += ": put it in quotes"
    return as_sentence(words)


def as_sentence(words: str) -> str:
    """Return words with a capital and a full stop."""
    return f"{words[0].upper()}{words[1:].rstrip('.')}."


def _shown(key: str, value: Any) -> str:
    if key == "pattern":
        return PATTERNS[value]
    if key == "expected":
        return str(value).replace("'", "")
    return f"{value:,g}" if isinstance(value, float) and abs(value) < 1e6 else str(value)
