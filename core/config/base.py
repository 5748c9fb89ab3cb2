"""What every section of a recipe is: frozen, with known keys alone."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from core.errors import SetField


class Config(BaseModel):
    """Base of all configuration: frozen, no unknown keys, no silent conversion from text to numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class InvalidValueError(ValueError):
    """What a validator finds wrong with more than one key, or with a part of a section.

    Args:
        message: what would have been right, and what to change.
        field: dotted path of the recipe's key to change.
        suggestion: the value that puts it right, where there is one.
    """

    def __init__(self, message: str, field: str = "", *, suggestion: SetField | None = None) -> None:
        super().__init__(message)
        self.field, self.suggestion = field or (suggestion.field if suggestion else ""), suggestion


def as_tuple(value: Any) -> Any:
    """Return a list, or a text alone, as a tuple; anything else as it is."""
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value
