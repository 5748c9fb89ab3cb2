"""Every key that ``--set`` takes, with unit, meaning and default, read from the configuration itself."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from core.config import DistillConfig
from core.config.fields import leaves


def settings() -> Iterator[tuple[str, str, Any]]:
    """(dotted key, description, default as plain data) for every key of a recipe."""
    defaults = DistillConfig().to_dict()
    for path, field in leaves():
        yield path, field.description or "", _default(field, path, defaults)


def settings_text(width: int = 110) -> str:
    """Return the same as text for ``--help``."""
    lines = []
    for key, description, default in settings():
        shown = "" if "default:" in description else f" (default: {json.dumps(default)})"
        lines.append(f"  {key}")
        lines += textwrap.wrap(description + shown, width, initial_indent="      ", subsequent_indent="      ")
    return "\n".join(lines)


def _default(field: FieldInfo, path: str, defaults: Any) -> Any:
    """Return the default of a leaf as plain data; inside a section that is absent by default, the section's own."""
    *sections, leaf = path.split(".")
    for section in sections:
        defaults = defaults.get(section)
        if defaults is None:
            return None if field.default is PydanticUndefined else field.default
    return defaults[leaf]
