"""The shape of JSON documents as JSON Schema (draft 2020-12)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

RECIPES = ("config",)  # a recipe's keys are tested by themselves, and may be renamed
NULLABLE = ("git_commit", "memory_available")  # not known everywhere: outside a checkout, on some devices


def schema_of(*documents: Any) -> dict[str, Any]:
    """Return what all documents have in common: types, the keys of objects and whether all have them, the elements of lists.

    Nothing is said of keys that the documents lack, nor of what was null in all of them.
    """
    types = sorted({_type(document) for document in documents})
    objects = [document for document in documents if isinstance(document, dict)]
    elements = [element for document in documents if isinstance(document, list) for element in document]
    schema: dict[str, Any] = {} if types == ["null"] else {"type": types[0] if len(types) == 1 else types}
    if objects:
        keys = list(dict.fromkeys(key for each in objects for key in each))
        schema["properties"] = {key: _property(key, [each[key] for each in objects if key in each]) for key in keys}
        schema["required"] = [key for key in keys if all(key in each for each in objects)]
    if elements:
        schema["items"] = schema_of(*elements)
    return schema


def _property(key: str, values: Sequence[Any]) -> dict[str, Any]:
    if key in RECIPES:
        return {"type": "object"}
    return schema_of(*values, None) if key in NULLABLE else schema_of(*values)


def _type(value: Any) -> str:
    if value is None:
        return "null"
    names = ((bool, "boolean"), ((int, float), "number"), (str, "string"), (list, "array"), (dict, "object"))
    return next(name for kind, name in names if isinstance(value, kind))
