"""Specialists and members of an ensemble trained at once by the processes of a run, on a device each.

Rank 0 carries a repetition out. Where networks do not depend on each other it tells the others (`core.system.ranks`) which there are; every
process trains its share, and each network is a folder that appears whole. Rank 0 waits for the folders of the others. A stop reaches them
by a file, since while they train they hear nothing. Alone, a process trains them all, one after the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config import SpecialistsConfig
from core.recorder import Recorder, StopRequested, stop_if_requested
from core.system import ranks

if TYPE_CHECKING:
    from transformers import PreTrainedModel

STOPPING = "stopping"  # is there while the other processes shall stop
POLL = 0.05  # seconds between two looks at the folders of the others


@dataclass(frozen=True)
class Share:
    """Networks that are trained at once.

    Attributes:
        folder: of the repetition.
        names: of the networks, in an order that all processes have.
        details: what a process that hears of them has to know besides the recipe and the seed, as plain data.
    """

    config: SpecialistsConfig
    seed: int
    folder: Path
    names: tuple[str, ...]
    details: Mapping[str, Any]


def train_shared(share: Share, train: Callable[[int], object], recorder: Recorder) -> None:
    """Train the networks of a share with the other processes, if there are any; return when all are there.

    Args:
        train: trains the network of a place in `names` and saves it, unless it is there; raises StopRequested.
        recorder: polled for a stop.

    Raises:
        StopRequested: the others stop too.
    """
    stopping = share.folder / STOPPING
    stopping.unlink(missing_ok=True)  # of a call that was killed
    if ranks.world() > 1:
        ranks.send({"networks": {"config": share.config.to_dict(), "seed": share.seed, "folder": str(share.folder.absolute()),
                                 "names": list(share.names), "details": dict(share.details)}})
    try:
        for place in places(len(share.names)):
            train(place)
        while not all((share.folder / name).exists() for name in share.names):
            stop_if_requested(recorder)
            time.sleep(POLL)
    except StopRequested:
        if ranks.world() > 1:
            stopping.touch()
        raise


def places(count: int) -> range:
    """Return the places of the networks that this process trains."""
    return range(ranks.rank(), count, ranks.world())


def save_here(model: PreTrainedModel, folder: Path) -> None:
    """Save a model of this process: Transformers lets rank 0 alone write, which otherwise has the same weights as the others."""
    if ranks.rank():
        vars(model)["should_save_on_this_rank"] = lambda is_main_process: is_main_process
    model.save_pretrained(folder)


def names_of(kind: str, numbers: Sequence[int]) -> tuple[str, ...]:
    """Return the names of numbered networks, which are those of their folders."""
    return tuple(f"{kind}-{number}" for number in numbers)
