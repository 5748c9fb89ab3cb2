"""Every key that ``--set`` takes, with unit, meaning and default, read from the configuration itself."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from core.config import ExperimentConfig, Ramp


def settings() -> Iterator[tuple[str, str, Any]]:
    """(dotted key, description, default as plain data) for every key of a recipe."""
    defaults = ExperimentConfig().to_dict()
    yield from _walk(ExperimentConfig, "", defaults)


def settings_text(width: int = 110) -> str:
    """The same as text for ``--help``."""
    lines = []
    for key, description, default in settings():
        shown = "" if "default:" in description else f" (default: {json.dumps(default)})"
        lines.append(f"  {key}")
        lines += textwrap.wrap(description + shown, width, initial_indent="      ", subsequent_indent="      ")
    return "\n".join(lines)


def _walk(model: type[BaseModel], prefix: str, defaults: dict[str, Any] | None) -> Iterator[tuple[str, str, Any]]:
    for name, field in model.model_fields.items():
        default = defaults.get(name) if defaults is not None else field.default
        section = next((each for each in (field.annotation, *get_args(field.annotation))
                        if isinstance(each, type) and issubclass(each, BaseModel) and each is not Ramp), None)
        if section is None:
            yield prefix + name, field.description or "", None if default is PydanticUndefined else default
        else:
            yield from _walk(section, f"{prefix}{name}.", default if isinstance(default, dict) else None)
