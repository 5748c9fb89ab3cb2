"""What processes other than rank 0 do of a run: they train with it what it trains, and nothing else.

Rank 0 says what that is (`core.methods.orders`). Such a process loads the same teacher and data, builds the same student, takes its
share of every step, and waits again. It records nothing, and writes nothing but its random state in checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from core.config import ExperimentConfig, FineTuneConfig
from core.data.prepare import PreparedData, read_blocks
from core.data.rows import Row
from core.methods import fine_tuning
from core.methods.orders import Order
from core.methods.run_folder import RunFolder
from core.methods.shardable import shard_teacher
from core.methods.steps import Load, TrainingInputs, build_or_rebuild, load_inputs
from core.methods.variant_training import answers_for, fit
from core.models.architectures import on_device
from core.recipes import parse_recipe
from core.recorder import NullRecorder, StopRequested
from core.reports.run_report import Report, parse_report
from core.specialists.helping import Helper
from core.system import ranks
from core.training import sharding


@dataclass(frozen=True)
class _Given:
    """Blocks that rank 0 packed, as a corpus."""

    path: Path

    def rows(self) -> Iterable[Row]:
        raise AssertionError("rank 0 has trained the vocabulary")

    def prepare(self, tokenizer: Any) -> PreparedData:
        return read_blocks(self.path)

    def measure(self, model: torch.nn.Module, tokenizer: Any, device: torch.device, dtype: torch.dtype) -> dict[str, float]:
        raise AssertionError("rank 0 measures")

    def rehearse(self, model: torch.nn.Module, tokenizer: Any, device: torch.device, dtype: torch.dtype) -> None:
        raise AssertionError("rank 0 tries it")


def follow(load: Load) -> Report:
    """Train with rank 0 until it has ended; return its report.

    Args:
        load: loads the model of a reference.
    """
    follower, helper = _Follower(load), Helper(load)
    while "report" not in (message := ranks.receive()):
        if "networks" in message:
            helper.train(message["networks"])
            continue
        if sharding.serve(message):
            continue
        if "shard" in message:
            follower.shard(Order.of(message["shard"]))
            continue
        with suppress(StopRequested):  # rank 0 has heard it too, and goes its way
            follower.train(Order.of(message["train"]))
    sharding.release_all()
    return parse_report(message["report"])


class _Follower:
    """Keeps what it has loaded for the next variant."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._held: tuple[str, TrainingInputs] | None = None

    def shard(self, order: Order) -> None:
        config, folder = self._read(order)
        inputs = self._inputs(config, folder, order)
        assert inputs.teacher is not None, "a teacher's weights are shared out"
        shard_teacher(inputs.teacher.model, inputs.device, order)

    def _read(self, order: Order) -> tuple[ExperimentConfig, RunFolder]:
        config = parse_recipe(dict(order.config))
        config = config.model_copy(update={"train": config.train.model_copy(update={"report_to": ()})})  # rank 0 reports
        folder = RunFolder(Path(order.folder))
        folder.progress.layer_map, folder.progress.signals = order.layer_map, order.signals
        return config, folder

    def train(self, order: Order) -> None:
        config, folder = self._read(order)
        if isinstance(config, FineTuneConfig):
            task = fine_tuning.load_task_inputs(config, folder, NullRecorder(), self._load)
            with ranks.together():
                fine_tuning.fit(task, folder, NullRecorder())
            return
        inputs = self._inputs(config, folder, order)
        torch.manual_seed(config.train.seed)
        student = build_or_rebuild(inputs, folder)
        if not inputs.shards_student:
            on_device(student.model, inputs.device)
        source = answers_for(inputs, order.variant, folder)
        with ranks.together():
            fit(inputs, student, order.variant, folder, NullRecorder(), lambda step: {}, source)

    def _inputs(self, config: ExperimentConfig, folder: RunFolder, order: Order) -> TrainingInputs:
        """Return what all variants of an experiment are trained on; that of the last one is kept."""
        key = f"{order.folder} {config.to_yaml()}"
        if self._held is None or self._held[0] != key:
            self._held = None  # before the next teacher is loaded
            corpus = _Given(Path(order.blocks)) if order.blocks is not None else None
            self._held = key, load_inputs(config, folder, NullRecorder(), self._load, corpus)
        return self._held[1]
