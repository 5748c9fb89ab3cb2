"""What a configuration's field expects, in plain words: pydantic says it in those of its own types and patterns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
    "model_type": "a section with keys and values was expected", "model_attributes_type": "a section with keys and values was expected",
}


def sentence(detail: Mapping[str, Any]) -> str:
    """One detail of a ``ValidationError`` as a sentence."""
    context = {key: _shown(key, value) for key, value in detail.get("ctx", {}).items()}
    if context.get("class_name") == "Ramp":
        words = "a number, or start and end, was expected"
    else:
        words = SENTENCES.get(detail["type"], "").format_map(context) or detail["msg"].removeprefix("Value error, ").rstrip(".")
        if detail["type"] == "string_type" and isinstance(detail["input"], (int, float)):
            words += ": put it in quotes"
    return f"{words[0].upper()}{words[1:]}."


def _shown(key: str, value: Any) -> str:
    if key == "pattern":
        return PATTERNS[value]
    if key == "expected":
        return str(value).replace("'", "")
    return f"{value:,g}" if isinstance(value, float) and abs(value) < 1e6 else str(value)
