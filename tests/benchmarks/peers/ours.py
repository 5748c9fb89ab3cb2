"""Our trainer: with the teacher in memory, and with its answers kept on disk."""

from __future__ import annotations

import multiprocessing
import tempfile
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from core.config import LossSpec, SignalSpec, TrainSpec
from core.data.packing import Blocks
from core.recorder import STUDENT, ListRecorder
from core.signals.cache import SignalCache
from core.signals.cached import CachedTeacher
from core.signals.forms import StoredForm, stored_form
from core.signals.manifest import Key
from core.signals.source import LocalTeacher, TeacherSignals
from core.training.base_trainer import training_arguments
from core.training.distillation_trainer import DistillationSetup, DistillationTrainer
from tests.benchmarks.peers.turns import BETAS, DTYPES, LEARNING_RATE, MANY, TEMPERATURE, Case, TurnCallback, Turns, contend


def online(case: Case, turns: Turns) -> None:
    """The teacher answers at every step."""
    _train(case, turns, LocalTeacher(case.teacher()))


def hidden(case: Case, turns: Turns) -> None:
    """Its last hidden states are read from disk."""
    _cached(case, turns, "hidden")


def sampled(case: Case, turns: Turns) -> None:
    """Tokens drawn from it are read from disk (RS-KD)."""
    _cached(case, turns, "sampled")


def _cached(case: Case, turns: Turns, form: Literal["hidden", "sampled"]) -> None:
    stored = stored_form(SignalSpec(form=form), TEMPERATURE)
    key = Key("teacher", "random", "none", stored.describe(), case.dtype, case.length, case.config["vocab_size"])
    with tempfile.TemporaryDirectory() as folder:
        # The teacher is not there while the student trains, nor the memory that it leaves to its process.
        builder = multiprocessing.get_context("spawn").Process(target=_build, args=(case, Path(folder) / "signals", key, stored))
        builder.start()
        builder.join()
        assert builder.exitcode == 0, "the cache was built"
        _train(case, turns, CachedTeacher(SignalCache(Path(folder) / "signals", key), stored, None))


def _build(case: Case, folder: Path, key: Key, stored: StoredForm) -> None:
    cached = CachedTeacher(SignalCache(folder, key), stored, LocalTeacher(case.teacher()))
    for ids in torch.from_numpy(case.blocks()).long().split(case.batch):
        cached.fill(ids)
    cached.flush()


def _train(case: Case, turns: Turns, teacher: TeacherSignals) -> None:
    ids = case.blocks()
    blocks = Blocks(ids, np.ones(ids.shape, dtype=np.float32), len(ids), ids.size)
    spec = TrainSpec(max_steps=MANY, per_device_train_batch_size=case.batch, device="cpu", save_steps=MANY, learning_rate=LEARNING_RATE,
                     adam_beta2=BETAS[1], lr_scheduler_type="constant_with_warmup", warmup_ratio=0)
    with tempfile.TemporaryDirectory() as folder:
        arguments = training_arguments(spec, Path(folder), torch.device("cpu"), eval_steps=MANY)
        arguments.save_strategy = arguments.eval_strategy = "no"
        setup = DistillationSetup(LossSpec(w_kd=1.0, w_hard=0.0, temperature=TEMPERATURE), teacher)
        trainer = DistillationTrainer(case.student(), setup, blocks, arguments, variant=STUDENT, recorder=ListRecorder(),
                                      dtype=DTYPES[case.dtype], evaluate=lambda step: {"eval/cross_entropy": 0.0})
        trainer.add_callback(TurnCallback(turns))
        trainer.train()


CONTENDERS = {"ours": online, "ours, hidden states kept": hidden, "ours, samples kept": sampled}

if __name__ == "__main__":
    contend(CONTENDERS)
