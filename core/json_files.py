"""JSON files that are there whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write_json(path: Path, plain: Any) -> None:
    """Write plain data, in place of what was there; folders are made as needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(json.dumps(plain, indent=1), encoding="utf-8")
    os.replace(partial, path)


def read_json(path: Path) -> Any | None:
    """Plain data; None where there is no such file, or none that can be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
