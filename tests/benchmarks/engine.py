"""The engine against the barest loop that does the same arithmetic, and against the processor's own peak.

Both sides train the same student of the same teacher on the same blocks, in turns, in one process; memory is measured in
processes of their own. Ratios are what counts: absolute figures belong to a machine.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from core.config import LossSpec, StudentSpec, TrainSpec
from core.data.packing import Blocks
from core.recorder import STUDENT, ListRecorder
from core.signals.source import LocalTeacher
from core.students.build import build_student
from core.system.devices import resolve_precision
from core.training.base_trainer import training_arguments
from core.training.distillation_trainer import DistillationSetup, DistillationTrainer
from tests.benchmarks.table import ROOT, Figure

BATCH, LENGTH, TEMPERATURE, ROUNDS = 8, 256, 2.0, 3
HOUSE = {"hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 8, "num_attention_heads": 6, "vocab_size": 4096}
WIDE_VOCABULARY = {**HOUSE, "num_hidden_layers": 4, "vocab_size": 49_152}


def make_teacher(shape: dict[str, int]) -> PreTrainedModel:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**shape, tie_word_embeddings=True, max_position_embeddings=LENGTH)).eval()


def make_blocks(steps: int, vocabulary: int) -> Blocks:
    ids = np.random.default_rng(0).integers(0, vocabulary, (steps * BATCH, LENGTH), dtype=np.int32)
    return Blocks(ids, np.ones(ids.shape, dtype=np.float32), len(ids), ids.size)


def engine_speed(teacher: PreTrainedModel, blocks: Blocks, steps: int) -> float:
    """Tokens per second of the distillation trainer, its own clock, from its second step."""
    student = build_student(teacher, StudentSpec(layers=teacher.config.num_hidden_layers // 2), seed=0)
    spec = TrainSpec(max_steps=steps, per_device_train_batch_size=BATCH, device="cpu", precision="fp32", save_steps=10**6)
    with tempfile.TemporaryDirectory() as folder:
        arguments = training_arguments(spec, Path(folder), torch.device("cpu"), eval_steps=10**6)
        arguments.save_strategy = arguments.eval_strategy = "no"
        recorder = ListRecorder()
        setup = DistillationSetup(LossSpec(w_kd=1.0, w_hard=0.5, temperature=TEMPERATURE), LocalTeacher(teacher), student.layer_map)
        trainer = DistillationTrainer(student.model, setup, blocks, arguments, variant=STUDENT, recorder=recorder, dtype=torch.float32,
                                      evaluate=lambda step: {"eval/cross_entropy": 0.0})
        trainer.train()
    return recorder.series(STUDENT, "tokens_per_second")[steps]


def bare_speed(teacher: PreTrainedModel, blocks: Blocks, steps: int) -> float:
    """Tokens per second of the same arithmetic with nothing around it, from its second step."""
    student = build_student(teacher, StudentSpec(layers=teacher.config.num_hidden_layers // 2), seed=0).model
    optimiser = torch.optim.AdamW(student.parameters(), lr=1e-4, betas=(0.9, 0.98), fused=True)
    began = 0.0
    for step in range(steps):
        if step == 1:
            began = time.perf_counter()
        ids = torch.from_numpy(blocks.input_ids[step * BATCH:(step + 1) * BATCH]).long()
        with torch.no_grad():
            v = teacher(input_ids=ids, use_cache=False).logits[:, :-1].flatten(0, 1)
        z = student(input_ids=ids, use_cache=False).logits[:, :-1].flatten(0, 1)
        soft = F.kl_div(F.log_softmax(z / TEMPERATURE, -1), F.log_softmax(v / TEMPERATURE, -1), reduction="batchmean", log_target=True)
        loss = TEMPERATURE**2 * soft + 0.5 * F.cross_entropy(z, ids[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
    return (steps - 1) * BATCH * LENGTH / (time.perf_counter() - began)


def gemm_peak() -> float:
    """FLOP per second of a large float32 matrix product, the best of several."""
    a, b = torch.randn(2048, 1024), torch.randn(1024, 1024)
    best = 0.0
    for _ in range(10):
        began = time.perf_counter()
        a @ b
        best = max(best, 2 * 2048 * 1024 * 1024 / (time.perf_counter() - began))
    return best


def flop_per_token(teacher: PreTrainedModel) -> float:
    """Two per weight forwards and four backwards; embeddings are looked up, the tied head is multiplied once."""
    weights = teacher.num_parameters()
    head = teacher.config.vocab_size * teacher.config.hidden_size
    return 2 * weights + 6 * ((weights - head) / 2 + head)


def peak_memory(side: str, shape: dict[str, int]) -> float:
    """MiB that four steps add to a process's peak, in a process of its own."""
    done = subprocess.run([sys.executable, "-m", "tests.benchmarks.engine", side, json.dumps(shape)], cwd=ROOT, capture_output=True,
                          text=True, timeout=300, check=True)
    return float(done.stdout.strip().splitlines()[-1])


def _measure_memory(side: str, shape: dict[str, int]) -> float:
    teacher, blocks = make_teacher(shape), make_blocks(4, shape["vocab_size"])
    # getrusage would begin with the peak of the process that started this one.
    Path("/proc/self/clear_refs").write_text("5")
    before = _kibibytes("VmRSS")
    {"engine": engine_speed, "bare": bare_speed}[side](teacher, blocks, 4)
    return (_kibibytes("VmHWM") - before) / 1024


def _kibibytes(key: str) -> int:
    """A figure of this process, as Linux keeps it."""
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith(f"{key}:")))


def figures(steps: int = 12) -> list[Figure]:
    """The engine's rows of the table."""
    teacher, blocks = make_teacher(HOUSE), make_blocks(steps, HOUSE["vocab_size"])
    pairs = [(engine_speed(teacher, blocks, steps), bare_speed(teacher, blocks, steps)) for _ in range(ROUNDS)]
    ours, bare = (statistics.median(side) for side in zip(*pairs, strict=True))
    peak = gemm_peak()
    memory = {f"{shape['vocab_size']:,}": [peak_memory(side, shape) for side in ("engine", "bare")] for shape in (HOUSE, WIDE_VOCABULARY)}
    rows: list[Any] = [
        Figure("distillation step against the barest loop", ours / bare, "times its speed", ">= 0.9", ours >= 0.9 * bare,
               f"{ours:,.0f} and {bare:,.0f} tokens/s"),
        Figure("distillation step against the matrix-product peak", ours * flop_per_token(teacher) / peak, "of it", "", None,
               f"peak {peak / 1e9:.0f} GFLOP/s float32; automatic precision here: {resolve_precision('auto', torch.device('cpu'))}"),
    ]
    for vocabulary, (engine, plain) in memory.items():
        rows.append(Figure(f"memory of training, {vocabulary} tokens of vocabulary", engine / plain, "times the barest loop's", "", None,
                           f"{engine:,.0f} and {plain:,.0f} MiB above the loaded teacher"))
    return rows


if __name__ == "__main__":
    print(_measure_memory(sys.argv[1], json.loads(sys.argv[2])))
