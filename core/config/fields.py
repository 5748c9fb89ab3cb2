"""The keys of recipes of all kinds: which there are, what each means and holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from core.config.experiment import ORDER
from core.config.kinds import KINDS
from core.config.losses import Ramp


def fields() -> dict[str, FieldInfo]:
    """Return the keys at the top of recipes of all kinds, in the order in which they are written."""
    return {name: next(kind.model_fields[name] for kind in KINDS.values() if name in kind.model_fields) for name in ORDER}


def describe(path: str) -> str:
    """Return the description of a field by its dotted path, as ``losses.temperature``."""
    *parents, leaf = path.split(".")
    known = fields()
    for parent in parents:
        known = fields_of(known[parent])
    return known[leaf].description or ""


def fields_of(field: FieldInfo) -> dict[str, FieldInfo]:
    """Return the fields that a field holds, by name; none for a plain value."""
    section = section_of(field)
    return dict(section.model_fields) if section else {}


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """Return the model whose fields a field holds, optional or not: a section, or a `Ramp`; None for a plain value."""
    candidates = (field.annotation, *get_args(field.annotation))
    return next((each for each in candidates if isinstance(each, type) and issubclass(each, BaseModel)), None)


def leaves(known: Mapping[str, FieldInfo] | None = None, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield every leaf of the configuration with its dotted path, in the order of the recipe; a weight counts as one leaf.

    Kind, chains, bridges, reading, ensembles, images and specialists are left out: they have forms of their own.
    """
    for name, field in (fields() if known is None else known).items():
        if prefix == "" and name in ("kind", "chain", "bridge", "reading", "ensemble", "images", "specialists"):
            continue
        section = section_of(field)
        if section is None or section is Ramp:
            yield prefix + name, field
        else:
            yield from leaves(section.model_fields, f"{prefix}{name}.")


def has_key(path: str) -> bool:
    """Return whether recipes of any kind have a key at a dotted path; a section is one too."""
    return field_at(path) is not None


def field_at(path: str) -> FieldInfo | None:
    """Return the field at a dotted path, if there is one."""
    *parents, leaf = path.split(".")
    known = fields()
    for parent in parents:
        known = fields_of(known[parent]) if parent in known else {}
    return known.get(leaf)


def flattened(plain: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a configuration as dotted keys with their values; lists are values."""
    found: dict[str, Any] = {}
    for key, value in plain.items():
        found |= flattened(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found
