"""Trackers that Trainer reports to beside the recorder: where they write, what groups their runs, and their end.

What is a group differs: wandb and trackio have groups within a project; mlflow has experiments, and tags to filter by; tensorboard shows
the folders that it is given, which the pages do for all runs of a sweep.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.errors import ConfigError

PREFIXES = ("TENSORBOARD_", "WANDB_", "MLFLOW_", "TRACKIO_")  # of the variables that trackers read and write
GROUP = "STILLHOUSE_GROUP"  # in a process that trains: what its runs belong to, as the name of a sweep
PLACES = ("TENSORBOARD_LOGGING_DIR", "WANDB_DIR")  # the others write to a place of their own, outside the run


@contextmanager
def grouped(name: str | None) -> Iterator[None]:
    """Inside the context trackers show what is trained as a part of a group, unless the environment names one; None: of none."""
    if name is None or GROUP in os.environ:
        yield
        return
    os.environ[GROUP] = name
    try:
        yield
    finally:
        os.environ.pop(GROUP, None)


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
    before = dict(os.environ)
    os.environ.update(places | _group_variables(names, os.environ.get(GROUP)))
    try:
        with _trackio_group(names, os.environ.get(GROUP)):
            yield
    finally:
        # What they left there too: wandb the address of its service, which has ended when a worker that this one starts looks for it.
        for name in [name for name in os.environ if name.startswith(PREFIXES) and os.environ[name] != before.get(name)]:
            if name in before:
                os.environ[name] = before[name]
            else:
                del os.environ[name]
        # The others are closed by Trainer when training ends.
        if "wandb" in names and "wandb" in sys.modules:
            sys.modules["wandb"].finish()


def _group_variables(names: Collection[str], group: str | None) -> dict[str, str]:
    """Return what the environment says of a group to wandb and mlflow, without what the user has set."""
    if group is None:
        return {}
    found = {}
    if "wandb" in names and "WANDB_RUN_GROUP" not in os.environ:
        found["WANDB_RUN_GROUP"] = group
    if "mlflow" in names:
        if not {"MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"} & set(os.environ):
            found["MLFLOW_EXPERIMENT_NAME"] = group
        found["MLFLOW_TAGS"] = json.dumps({"group": group} | json.loads(os.environ.get("MLFLOW_TAGS") or "{}"))
    return found


@contextmanager
def _trackio_group(names: Collection[str], group: str | None) -> Iterator[None]:
    """Give every run that trackio begins a group: it reads none from the environment, and Trainer's callback passes none."""
    if "trackio" not in names or group is None:
        yield
        return
    trackio: Any = importlib.import_module("trackio")
    own = trackio.init
    trackio.init = functools.partial(own, group=group)
    try:
        yield
    finally:
        trackio.init = own
