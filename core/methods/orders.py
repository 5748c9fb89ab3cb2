"""What rank 0 tells the other processes of a run to train with it (`core.system.ranks`, `core.methods.following`)."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from core.config import ExperimentConfig
from core.system import ranks

if TYPE_CHECKING:
    import torch

HEARING_SECONDS = 10.0  # that the others get to hear of the end


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


def dismiss(report: Mapping[str, Any]) -> None:
    """Tell the others that nothing more is trained, and what the run came to.

    Where the run was stopped just as a training began they wait for that, and do not hear it; they end with this process then.
    """
    teller = threading.Thread(target=ranks.send, args=({"report": dict(report)},), name="dismiss", daemon=True)
    teller.start()
    teller.join(HEARING_SECONDS)
