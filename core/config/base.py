"""What every section of a recipe is: frozen, with known keys alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from core.errors import SetField
from core.recipe_keys import known_keys

# No model, corpus or machine comes near these. They stand for values that would fill the memory before anything else refuses them.
MAX_LAYERS = 10_000  # blocks; the deepest published language models have a few hundred
MAX_HEADS = 100_000  # of one block
MAX_WIDTH = 1_000_000  # channels of the residual stream; the widest published models have some 20,000
MAX_INTERMEDIATE = 10_000_000  # neurons of a feed-forward layer
MAX_VOCABULARY = 100_000_000  # tokens
MAX_POSITIONS = 1_000_000_000  # tokens of a sequence; ten million are published
MAX_COUNT = 10**12  # rows, steps, items
MAX_BATCH = 1_000_000  # sequences of one forward pass
MAX_PROCESSES = 100_000  # that train together
MAX_LISTED = 10_000  # entries of a list in a recipe
MAX_FACTOR = 1e30  # weights, rates, passes, seconds; products of a few of them are finite numbers


class Config(BaseModel):
    """Base of all configuration: frozen, no unknown keys, no silent conversion from text to numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with some values replaced. Pydantic takes them as they are, unknown keys included, which are a mistake of ours.

        Raises:
            TypeError: a key that the section does not have.
        """
        if unknown := sorted(set(update or ()) - set(type(self).model_fields)):
            raise TypeError(f"{type(self).__name__} has no {', '.join(unknown)}")
        return super().model_copy(update=update, deep=deep)


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
