"""What every section of a recipe is: frozen, with known keys alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from core.errors import SetField
from core.recipe_keys import known_keys


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


def counted(config: Config, plain: Mapping[str, Any], section: str = "") -> dict[str, Any]:
    """Return what digests and keys of caches are computed over: plain data without the defaults of keys newer than release 0.1.0.

    Args:
        plain: of `config`; not changed.
        section: dotted path of `config` in a recipe, empty for a whole one.
    """
    result = dict(plain)
    for name, field in type(config).model_fields.items():
        path, value = f"{section}.{name}".removeprefix("."), getattr(config, name)
        if name not in result:
            continue
        if path not in known_keys() and value == field.get_default(call_default_factory=True):
            del result[name]
        elif isinstance(value, Config) and isinstance(result[name], Mapping):
            result[name] = counted(value, result[name], path)
        elif isinstance(value, tuple):
            result[name] = [counted(each, part, f"{path}[]") if isinstance(each, Config) else part
                            for each, part in zip(value, result[name], strict=True)]
    return result


def as_tuple(value: Any) -> Any:
    """Return a list, or a text alone, as a tuple; anything else as it is."""
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value
