"""What every contender has: the same models and blocks, and turns.

A contender is a process of its own, so that its memory is its own. It computes when it is its turn and waits otherwise: on its input it
reads how many steps to take, on its output it writes what they took. Nothing of core/ is imported here: the environment of another
library does not hold what core/ needs.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, TrainerCallback

TEMPERATURE = 1.0  # TRL 1.16's GKDTrainer takes its loss at no other
LEARNING_RATE, BETAS = 1e-4, (0.9, 0.98)
MANY = 10_000  # steps: more than any measurement takes
BLOCKS = 16  # different blocks, taken again and again
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Case:
    """What is trained: a student with half the blocks of a teacher, on blocks of random tokens.

    Attributes:
        config: of the teacher, a Llama.
        batch, length: blocks a step, tokens a block.
        steps: of a turn.
        dtype: fp32 or bf16, of the products; trained weights are fp32.
        threads: of torch.
    """

    config: dict[str, Any]
    batch: int
    length: int
    steps: int
    dtype: str
    threads: int

    def model(self, layers: int, seed: int) -> PreTrainedModel:
        """Return a random model of so many blocks."""
        torch.manual_seed(seed)
        return LlamaForCausalLM(LlamaConfig(**{**self.config, "num_hidden_layers": layers}, tie_word_embeddings=True,
                                            max_position_embeddings=self.length))

    def teacher(self) -> PreTrainedModel:
        """Return the teacher, in the format of the products."""
        return self.model(self.config["num_hidden_layers"], 0).eval().to(DTYPES[self.dtype])

    def student(self) -> PreTrainedModel:
        """Return the student."""
        return self.model(self.config["num_hidden_layers"] // 2, 1).train()

    def blocks(self) -> np.ndarray:
        """Return token ids (blocks, length)."""
        count = -(-BLOCKS // self.batch) * self.batch
        return np.random.default_rng(0).integers(0, self.config["vocab_size"], (count, self.length), dtype=np.int32)

    def flop_per_token(self, *, teacher: str = "whole") -> float:
        """Return what the products of a step need: two a weight forwards and four backwards; embeddings are looked up.

        Args:
            teacher: what of it computes: whole, head, or nothing.
        """
        width, layers = self.config["hidden_size"], self.config["num_hidden_layers"]
        heads, kept = self.config["num_attention_heads"], self.config.get("num_key_value_heads") or self.config["num_attention_heads"]
        block = 2 * width * width * (1 + kept / heads) + 3 * width * self.config["intermediate_size"]
        head = self.config["vocab_size"] * width
        of_teacher = {"whole": layers * block + head, "head": head, "nothing": 0}[teacher]
        return 2 * of_teacher + 6 * (layers // 2 * block + head)


class Turns:
    """A contender's side of the measurement."""

    def __init__(self, commands: TextIO, answers: TextIO) -> None:
        self._commands, self._answers = commands, answers
        self._left = 0
        self._began = 0.0, 0.0
        self._before = 0

    def build(self) -> None:
        """Begin to count memory: what is here already are libraries."""
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")  # the peak before was that of imports
        self._before = _kibibytes("VmRSS")

    def begin(self) -> None:
        """Say that all is ready, and wait for the first turn."""
        self._say(ready=True)
        self._wait()

    def step_done(self) -> bool:
        """Count a step; at the end of a turn, say what it took and wait for the next. Returns False when there is none."""
        self._left -= 1
        if self._left == 0:
            clock, processor = time.perf_counter() - self._began[0], time.process_time() - self._began[1]
            self._say(clock=clock, processor=processor, mebibytes=(_kibibytes("VmHWM") - self._before) / 1024)
            self._wait()
        return self._left > 0

    def _wait(self) -> None:
        self._left = int(self._commands.readline() or 0)
        self._began = time.perf_counter(), time.process_time()

    def _say(self, **words: Any) -> None:
        self._answers.write(json.dumps(words) + "\n")
        self._answers.flush()


class TurnCallback(TrainerCallback):
    """Lets a trainer of Transformers wait for its turns."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Be ready."""
        self._turns.begin()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Count a step; training ends with the last turn."""
        control.should_training_stop = not self._turns.step_done()


def contend(contenders: dict[str, Any]) -> None:
    """Be the contender that the command line names: ``NAME CASE``, the case as JSON."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    case = Case(**json.loads(sys.argv[2]))
    torch.set_num_threads(case.threads)
    turns = Turns(sys.stdin, answers)
    turns.build()
    contenders[sys.argv[1]](case, turns)


def plain(case: Case) -> str:
    """Return a case as `contend` reads it."""
    return json.dumps(asdict(case))


def _kibibytes(key: str) -> int:
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith(f"{key}:")))
