"""What a run has achieved so far, kept in its directory."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import DeviceError
from core.system.files import write_json


@dataclass
class Progress:
    """What is already known of a run, kept in its directory.

    Attributes:
        data: digest of the blocks that it began with.
        measurements: who (teacher, student_before, student_after, control) -> metrics.
        steps, tokens, speed: arm -> optimiser steps, tokens seen, tokens per second.
        layer_map: where it was measured; kept, so that both arms and every call build the same student.
        shape: sizes of a student with a task's head, which is built only once.
        seconds: working time of all calls so far.
    """

    path: Path
    data: str = ""
    measurements: dict[str, dict[str, float]] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)
    speed: dict[str, float] = field(default_factory=dict)
    layer_map: list[int] | None = None
    shape: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    @classmethod
    def of(cls, directory: Path) -> Progress:
        path = directory / "progress.json"
        return cls(path, **json.loads(path.read_text())) if path.is_file() else cls(path)

    def save(self) -> None:
        write_json(self.path, {key: value for key, value in vars(self).items() if key != "path"})


def require_one_process() -> None:
    """Processes of one launch would write the same files, and the first to be done would remove what the others read."""
    processes = os.environ.get("WORLD_SIZE", "1")
    if processes not in ("", "1"):
        raise DeviceError(f"This process is one of {processes} that were started together (WORLD_SIZE).",
                          "An experiment runs in one process, on one device.",
                          "Start it without accelerate launch or torchrun, and choose the GPU with train.device.")
