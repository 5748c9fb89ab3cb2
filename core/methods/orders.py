"""What rank 0 tells the other processes of a run to train and measure with it (`core.system.ranks`, `core.methods.following`)."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from core.config import ExperimentConfig
from core.recorder import StopRequested
from core.system import ranks
from core.training.passes import ALONE, Passes

if TYPE_CHECKING:
    import torch

HEARING_SECONDS = 10.0  # that the others get to hear of the end
TRAINING = "training"  # in place of a folder: the model that is trained, as it is


@dataclass(frozen=True)
class Order:
    """A training that begins.

    Attributes:
        config: the whole configuration, as plain data.
        folder: of the run.
        variant: what is trained.
        layer_map: where rank 0 measured it.
        signals: the source of the teacher's answers, as `core.methods.run_folder.Progress` has it.
        blocks: file of the packed blocks, where a method made them; None where ``data.source`` is read.
    """

    config: Mapping[str, Any]
    folder: str
    variant: str
    layer_map: list[int] | None = None
    signals: str = ""
    blocks: str | None = None

    @classmethod
    def to_train(cls, config: ExperimentConfig, dtype: torch.dtype, folder: Path, variant: str, **rest: Any) -> Self:
        """Return the order of a configuration, computed in the format that rank 0 has resolved: other machines may resolve another.

        Args:
            rest: further attributes.
        """
        plain = config.to_dict()
        plain["train"]["precision"] = "bf16" if dtype.itemsize == 2 else "fp32"
        return cls(plain, str(folder.absolute()), variant, **rest)

    @classmethod
    def of(cls, sent: Mapping[str, Any]) -> Self:
        """Read what was sent of an order."""
        return cls(**sent)


@contextmanager
def leading(order: Order) -> Iterator[None]:
    """Train, inside the block, together with the other processes, if there are any."""
    ranks.send({"train": asdict(order)})
    with ranks.together():
        yield


def share_out(part: str, at: str, order: Order) -> Passes:
    """Return what this process does of a measurement; rank 0 tells the others to do theirs (`core.training.passes`).

    Args:
        part: what is measured, as `core.methods.following` calls it.
        at: where every process finds the model: `core.events.TEACHER`, `TRAINING`, or a folder; empty where the others do not.
        order: what they load for it.
    """
    if not at or ranks.world() == 1:
        return ALONE
    if ranks.rank() == 0:
        ranks.send({"measure": part, "at": at, "order": asdict(order)})
    return Passes.of_run()


@contextmanager
def others_serving() -> Iterator[None]:
    """Measure, inside the block, what the others take part in meanwhile; then tell them that it is over, or stopped."""
    try:
        yield
    except StopRequested:
        ranks.send({"measured": "stopped"})
        raise
    ranks.send({"measured": "whole"})


def dismiss(report: Mapping[str, Any]) -> None:
    """Tell the others that nothing more is trained, and what the run came to.

    Where the run was stopped just as a training began they wait for that, and do not hear it; they end with this process then.
    """
    teller = threading.Thread(target=ranks.send, args=({"report": dict(report)},), name="dismiss", daemon=True)
    teller.start()
    teller.join(HEARING_SECONDS)
