"""The folders in which Trainer keeps checkpoints: which is the newest that training can resume from, and its step."""

from __future__ import annotations

import json
from pathlib import Path

STATE_FILE = "trainer_state.json"  # the last file of a checkpoint that Trainer writes


def latest_checkpoint(directory: Path) -> Path | None:
    """Return the newest checkpoint that was written to its end; None where there is none."""
    return next((path for path in sorted(directory.glob("checkpoint-*"), key=step_of, reverse=True) if _is_complete(path)), None)


def latest_step(directory: Path) -> int:
    """Return the step of the newest checkpoint that was written to its end; 0 where there is none."""
    checkpoint = latest_checkpoint(directory)
    return step_of(checkpoint) if checkpoint is not None else 0


def step_of(checkpoint: Path) -> int:
    """Return the optimiser step of a checkpoint."""
    return int(checkpoint.name.rpartition("-")[2])


def _is_complete(checkpoint: Path) -> bool:
    # The file is there before all of it is: a crash or a full disk may leave it empty or cut.
    try:
        return isinstance(json.loads((checkpoint / STATE_FILE).read_bytes()), dict)
    except (OSError, ValueError):
        return False
