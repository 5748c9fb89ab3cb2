"""What processes other than rank 0 do of a run: they train with it what it trains, and measure what it measures.

Rank 0 says what that is (`core.methods.orders`). Such a process loads the same teacher and data, builds the same student, takes its
share of every step and evaluation, and waits again. It records nothing, and writes nothing but its random state in checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from core.config import ExperimentConfig, FineTuneConfig
from core.data.prepare import PreparedData, read_blocks
from core.data.rows import Row
from core.events import TEACHER
from core.methods import fine_tuning
from core.methods.evaluator import LANGUAGE, SENTIMENT, LanguageEvaluation
from core.methods.orders import TRAINING, Order
from core.methods.run_folder import RunFolder
from core.methods.shardable import shard_teacher
from core.methods.shared_scores import take_share
from core.methods.steps import Load, TrainingInputs, build_or_rebuild, load_inputs
from core.methods.variant_training import answers_for, fit
from core.models.architectures import on_device
from core.recipes import parse_recipe
from core.recorder import NullRecorder, StopRequested
from core.reports.run_report import Report, parse_report
from core.specialists.helping import Helper
from core.system import ranks
from core.tasks.fine_tuning import evaluate_task
from core.training import sharding
from core.training.passes import Passes


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
        if "score" in message:
            take_share(message["score"], load)
            continue
        if follower.serve(message):
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
        self._evaluation: LanguageEvaluation | None = None  # of what is held; it keeps the teacher's states of its part
        self._task: tuple[str, fine_tuning.TaskInputs] | None = None
        self._student: torch.nn.Module | None = None  # while it is trained
        self._max_length = 0  # tokens that it reads of an item, where it is trained for a task
        self._saved: tuple[str, torch.nn.Module] | None = None  # the folder of the latest model that was measured, and the model

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
            with ranks.together():
                fine_tuning.fit(self._task_inputs(config, folder, order), folder, NullRecorder(), self._before)
            return
        inputs = self._inputs(config, folder, order)
        torch.manual_seed(config.train.seed)
        student = build_or_rebuild(inputs, folder)
        if not inputs.shards_student:
            on_device(student.model, inputs.device)
        source = answers_for(inputs, order.variant, folder)
        self._student, self._saved = student.model, None
        with ranks.together():
            fit(inputs, student, order.variant, folder, NullRecorder(), self._take_part, source)
        self._student = None

    def _before(self, model: torch.nn.Module, max_length: int) -> None:
        """Do this process's part of what rank 0 does with a model for a task before its first step."""
        self._student, self._max_length = model, max_length
        self._take_part()

    def _take_part(self, step: int = 0) -> dict[str, float]:
        """Do this process's part of what rank 0 measures, until that is over; raises StopRequested where it was stopped."""
        while "measured" not in (message := ranks.receive()):
            self.serve(message)
        if message["measured"] == "stopped":
            raise StopRequested
        return {}

    def serve(self, message: Mapping[str, Any]) -> bool:
        """Hand over weights, or measure, as rank 0 says; return whether that is what it says."""
        if "measure" not in message:
            return sharding.serve(message)
        order = Order.of(message["order"])
        config, folder = self._read(order)
        with suppress(StopRequested):  # as in training
            if isinstance(config, FineTuneConfig):
                self._measure_task(self._task_inputs(config, folder, order), message["at"])
            else:
                self._measure(message["measure"], self._inputs(config, folder, order), message["at"], order)
        return True

    def _measure(self, part: str, inputs: TrainingInputs, at: str, order: Order) -> None:
        if self._evaluation is None:
            self._evaluation = LanguageEvaluation.of(inputs, NullRecorder(), order)
        model = self._model(inputs, at)
        if part == LANGUAGE:
            self._evaluation.language(model, at)
        elif part == SENTIMENT:
            self._evaluation.sentiment(model, at)
        else:
            list(self._evaluation.samples(model, at))

    def _measure_task(self, inputs: fine_tuning.TaskInputs, at: str) -> None:
        passes = Passes.of_run()
        if at == TRAINING:
            assert self._student is not None, "rank 0 trains it too"
            inputs.measure(self._student, self._max_length, passes=passes)
            return
        loaded = inputs.teacher if at == TEACHER else inputs.saved(Path(at))
        assert loaded is not None, "rank 0 measures it"
        evaluate_task(loaded, inputs.task, dtype=inputs.dtype, passes=passes)

    def _model(self, inputs: TrainingInputs, at: str) -> torch.nn.Module:
        """Return the model that is measured; one of a folder is held for its next measurement."""
        if at == TEACHER:
            assert inputs.teacher is not None, "rank 0 measures it"
            return inputs.teacher.model
        if at == TRAINING:
            assert self._student is not None, "rank 0 trains it too"
            return self._student
        if self._saved is None or self._saved[0] != at:
            self._saved = at, inputs.read_back(Path(at))
        return self._saved[1]

    def _task_inputs(self, config: FineTuneConfig, folder: RunFolder, order: Order) -> fine_tuning.TaskInputs:
        """Return what a model is fine-tuned from and on, read once."""
        if self._task is None or self._task[0] != order.folder:
            self._task = None  # before the next models are loaded
            self._task = order.folder, fine_tuning.load_task_inputs(config, folder, NullRecorder(), self._load)
        return self._task[1]

    def _inputs(self, config: ExperimentConfig, folder: RunFolder, order: Order) -> TrainingInputs:
        """Return what all variants of an experiment are trained on; that of the last one is kept."""
        key = f"{order.folder} {config.to_yaml()}"
        if self._held is None or self._held[0] != key:
            self._held = self._evaluation = None  # before the next teacher is loaded
            corpus = _Given(Path(order.blocks)) if order.blocks is not None else None
            self._held = key, load_inputs(config, folder, NullRecorder(), self._load, corpus)
        return self._held[1]
