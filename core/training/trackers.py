"""Trackers that Trainer reports to beside the recorder: where they write, and their end."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import ConfigError

PLACES = ("TENSORBOARD_LOGGING_DIR", "WANDB_DIR")  # the others write to a place of their own, outside the run


def require_trackers(names: Collection[str]) -> None:
    """Import all trackers, which an installation that lacks a part of one does not survive. Raises ConfigError."""
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ConfigError(f"train.report_to names '{name}'.", f"It cannot be imported: {error}.",
                              f"Install it (pip install {name}), or leave it out.", field="train.report_to") from error


@contextmanager
def tracked(names: Collection[str], folder: Path) -> Iterator[None]:
    """Inside the context trackers write into `folder`, unless the environment says where; after it they are closed.

    Without an end between them, wandb would show the second variant of an experiment as a part of the first.

    Args:
        names: as in ``train.report_to``.
    """
    places = {place: str(folder) for place in PLACES if names and place not in os.environ}
    if places:
        folder.mkdir(parents=True, exist_ok=True)  # wandb takes no folder that is not there
    os.environ.update(places)
    try:
        yield
    finally:
        for place in places:
            os.environ.pop(place, None)
        # The others are closed by Trainer when training ends.
        if "wandb" in names and "wandb" in sys.modules:
            sys.modules["wandb"].finish()
