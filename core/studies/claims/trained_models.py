"""A model after its training, as the claims keep it in the cache: weights, losses, and what was measured along the way."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from safetensors.torch import load_file, save_file
from transformers import AutoConfig

from core.events import Event
from core.recorder import Recorder
from core.students.resizing import Weights
from core.system.files import atomic_directory

TENSORS, HISTORY = "model.safetensors", "history.json"  # of a kept model: its weights; where its blocks come from, and its curves
MODEL_BYTES = 64 << 20  # room on the disk for one of these models, generously


@dataclass(frozen=True)
class Trained:
    """A model after its training.

    Attributes:
        losses: of each optimiser step.
        held_out: step -> CE on the test half, where it was followed.
    """

    weights: Weights
    losses: tuple[float, ...]
    held_out: Mapping[int, float]

    @property
    def loss_step_std(self) -> float:
        """Standard deviation of the loss's change from one step to the next, over the second half of the training."""
        later = self.losses[len(self.losses) // 2:]
        return statistics.pstdev([after - before for before, after in pairwise(later)])


class LossHistory:
    """A recorder that passes on what a training reports to another, and keeps its losses."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.losses: list[float] = []

    def log(self, variant: str, step: int, metrics: Mapping[str, float]) -> None:
        """Pass on a step, and keep its loss."""
        if "loss" in metrics:
            self.losses.append(metrics["loss"])
        self.recorder.log(variant, step, metrics)

    def event(self, event: Event) -> None:
        """Pass on an event."""
        self.recorder.event(event)

    def should_stop(self) -> bool:
        """Return whether the other recorder requests a stop."""
        return self.recorder.should_stop()


def read(folder: Path) -> Trained:
    """Return what `write` kept."""
    history = json.loads((folder / HISTORY).read_text(encoding="utf-8"))
    weights = Weights(AutoConfig.from_pretrained(folder), load_file(folder / TENSORS), tuple(history["origin"]))
    return Trained(weights, tuple(history["losses"]), {int(step): value for step, value in history["held_out"].items()})


def write(folder: Path, trained: Trained) -> None:
    """Keep a model, whole or not at all."""
    with atomic_directory(folder, MODEL_BYTES) as partial:
        trained.weights.config.save_pretrained(partial)
        save_file(dict(trained.weights.tensors), partial / TENSORS)
        history = {"origin": trained.weights.origin, "losses": trained.losses, "held_out": trained.held_out}
        (partial / HISTORY).write_text(json.dumps(history), encoding="utf-8")
