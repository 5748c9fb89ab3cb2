"""Scores of a retention card that the processes of a run take at once, on a device each.

A score is of one model on one task with one seed, a fine-tuning of its own where models are tuned, and depends on no other. Rank 0 tells
the others (`core.system.ranks`) which there are; each takes its share as one process would, and leaves each score in a file of its own. A
stop reaches the others by a file too, since while they score they hear nothing.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from core.config import ExperimentConfig
from core.models.architectures import Objective
from core.recipes import parse_recipe
from core.recorder import NullRecorder, Recorder, StopRequested, stop_if_requested
from core.reports.retention_card import Score
from core.reports.retention_run import Unit
from core.reports.task_scores import Load, scoring
from core.system import ranks
from core.system.devices import resolve_device
from core.system.files import read_json, write_json

STOPPING = "stopping"  # is there while the other processes shall stop
POLL = 0.05  # seconds between two looks at the scores of the others


def share_scores(units: Sequence[Unit], score: Callable[[Unit], Score], *, config: ExperimentConfig, objective: Objective, folder: Path,
                 models: Mapping[str, str], recorder: Recorder) -> Iterator[tuple[Unit, Score]]:
    """Yield every unit with its score, in the order in which they are known; the other processes of the run take their share.

    Args:
        score: takes a score in this process; raises StopRequested.
        config: of the run, with its card.
        objective: of the models.
        folder: of what the others leave; removed at the end.
        models: who -> model reference, which every process can load.
        recorder: polled for a stop while there is only to wait.

    Raises:
        StopRequested: the others stop too.
    """
    shutil.rmtree(folder, ignore_errors=True)  # of a call that was killed
    folder.mkdir(parents=True)
    ranks.send({"score": {"config": config.to_dict(), "objective": objective, "folder": str(folder.absolute()),
                          "units": [[models[who], task, seed] for who, task, seed in units]}})
    own = _places(len(units), ranks.rank(), ranks.world())
    others = sorted(set(range(len(units))) - set(own))
    try:
        for place in own:
            yield units[place], score(units[place])
            yield from _left(folder, units, others)
        while others:
            stop_if_requested(recorder)
            time.sleep(POLL)
            yield from _left(folder, units, others)
    except StopRequested:
        (folder / STOPPING).touch()
        raise
    shutil.rmtree(folder)


def take_share(message: Mapping[str, Any], load: Load) -> None:
    """Take this process's share of what `share_scores` sent, until there is no more or a stop.

    Args:
        load: loads the model of a reference.
    """
    config, folder = parse_recipe(dict(message["config"])), Path(message["folder"])
    spec, units = config.evaluation.retention, message["units"]
    assert spec is not None, "rank 0 measures a card"
    recorder = NullRecorder((folder / STOPPING).exists)
    scores = scoring(spec, message["objective"], recorder, seed=config.train.seed, device=resolve_device(config.train.device), load=load)
    with suppress(StopRequested):
        for place in _places(len(units), ranks.rank(), ranks.world()):
            stop_if_requested(recorder)
            write_json(folder / f"{place}.json", asdict(scores.score(*units[place])))


def _left(folder: Path, units: Sequence[Unit], others: list[int]) -> Iterator[tuple[Unit, Score]]:
    """Yield what the others have left since the last look, and take it from `others`."""
    for place in list(others):
        if (plain := read_json(folder / f"{place}.json")) is not None:
            others.remove(place)
            yield units[place], Score(**plain)


def _places(count: int, rank: int, world: int) -> list[int]:
    """Return the units of a process; models take turns in the units, and one costs more than another."""
    return [place for place in range(count) if (place + place // world) % world == rank]
