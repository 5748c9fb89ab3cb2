"""Turns of several contenders, and the table of what they took."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import torch

from tests.benchmarks.peers.turns import DTYPES, Case, plain
from tests.benchmarks.table import ROOT

PYTHON_PEERS = ROOT / ".venv-peers" / "bin" / "python"
OURS, OTHERS = "tests.benchmarks.peers.ours", "tests.benchmarks.peers.others"
BAREST = "barest loop"
# Contender -> its interpreter and module.
COMMANDS: dict[str, tuple[Path, str]] = {
    "ours": (Path(sys.executable), OURS),
    "ours, hidden states kept": (Path(sys.executable), OURS),
    "ours, samples kept": (Path(sys.executable), OURS),
    BAREST: (Path(sys.executable), OTHERS),
    "TRL GKDTrainer": (PYTHON_PEERS, OTHERS),
}
TEACHER = {"ours, hidden states kept": "head", "ours, samples kept": "nothing"}  # what of it computes in a step; elsewhere all of it

HOUSE = {"hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 8, "num_attention_heads": 6, "vocab_size": 4096}
SMOLLM2 = {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
           "vocab_size": 49_152}
# The third is SmolLM2-135M's.
CASES: dict[str, Callable[[str, int], Case]] = {
    "house": lambda dtype, threads: Case(HOUSE, 8, 256, 3, dtype, threads),
    "wide": lambda dtype, threads: Case({**HOUSE, "num_hidden_layers": 4, "vocab_size": 49_152}, 8, 128, 1, dtype, threads),
    "smollm2": lambda dtype, threads: Case(SMOLLM2, 2, 128, 1, dtype, threads),
}


@dataclass(frozen=True)
class Clock:
    """What seconds are of: ``wall``, or ``processor``, where others use the machine too."""

    name: str

    @property
    def words(self) -> str:
        """What a table says of it."""
        return "by the clock on the wall" if self.name == "wall" else "a second is one of a core: what else the machine does is left out"

    def now(self) -> float:
        """Seconds."""
        return time.perf_counter() if self.name == "wall" else time.process_time()

    def of(self, answer: dict[str, float]) -> float:
        """Seconds of a turn."""
        return answer["clock" if self.name == "wall" else "processor"]


@dataclass(frozen=True)
class Row:
    """What a contender took.

    Attributes:
        speeds: tokens a second of each turn.
        mebibytes: peak memory above the libraries.
        flop: that the arithmetic of a token needs.
    """

    name: str
    speeds: tuple[float, ...]
    mebibytes: float
    flop: float


class Contender:
    """A process that computes in its turns."""

    def __init__(self, name: str, process: subprocess.Popen[str], log: TextIO) -> None:
        self.name, self._process, self._log = name, process, log

    def answer(self) -> dict[str, Any]:
        """Return what it says next. Raises RuntimeError with the end of its log where it has ended."""
        assert self._process.stdout is not None, "it writes to a pipe"
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            raise RuntimeError(f"The contender '{self.name}' has ended: {self._log.read()[-2000:]}")
        found: dict[str, Any] = json.loads(line)
        return found

    def turn(self, steps: int) -> dict[str, float]:
        """Let it take so many steps; return seconds and memory."""
        assert self._process.stdin is not None, "it reads from a pipe"
        self._process.stdin.write(f"{steps}\n")
        self._process.stdin.flush()
        return self.answer()


@contextmanager
def contender(name: str, case: Case) -> Iterator[Contender]:
    """Start a contender; it is ready inside the block, and ended after it."""
    python, module = COMMANDS[name]
    environment = {**os.environ, "OMP_NUM_THREADS": str(case.threads), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [str(python), "-m", module, name, plain(case)]
    with tempfile.TemporaryFile("w+") as log, subprocess.Popen(command, cwd=ROOT, env=environment, text=True, stdin=subprocess.PIPE,
                                                               stdout=subprocess.PIPE, stderr=log) as process:
        try:
            started = Contender(name, process, log)
            assert started.answer() == {"ready": True}
            yield started
        finally:
            process.kill()


def measure(case: Case, names: Sequence[str], pairs: int, clock: Clock) -> tuple[list[Row], float]:
    """Return a row of each contender, and FLOP per second of products of this processor, all measured in turns."""
    speeds: dict[str, list[float]] = {name: [] for name in names}
    peaks, memory, tokens = list[float](), dict[str, float](), case.steps * case.batch * case.length
    with ExitStack() as stack:
        all_of_them = [stack.enter_context(contender(name, case)) for name in names]
        for each in all_of_them:
            each.turn(1)  # the first step makes ready
        for pair in range(pairs):
            peaks.append(product_peak(DTYPES[case.dtype], clock))
            first = pair % len(all_of_them)
            for each in all_of_them[first:] + all_of_them[:first]:
                took = each.turn(case.steps)
                speeds[each.name].append(tokens / clock.of(took))
                memory[each.name] = took["mebibytes"]
    rows = [Row(name, tuple(speeds[name]), memory[name], case.flop_per_token(teacher=TEACHER.get(name, "whole"))) for name in names]
    return rows, statistics.median(peaks)


def product_peak(dtype: torch.dtype, clock: Clock) -> float:
    """FLOP per second of a large matrix product, the best of several."""
    a, b = torch.ones(2048, 1024, dtype=dtype), torch.ones(1024, 1024, dtype=dtype)
    best = 0.0
    for _ in range(8):
        began = clock.now()
        a @ b
        best = max(best, 2 * 2048 * 1024 * 1024 / (clock.now() - began))
    return best


def table(rows: Sequence[Row], peak: float) -> str:
    """Return the rows as a Markdown table; speeds are compared turn by turn with the barest loop's, where it took part."""
    bare = next((row.speeds for row in rows if row.name == BAREST), None)
    lines = ["| | tokens/s | times the barest loop | memory, MiB | share of the peak |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        ratios = [own / other for own, other in zip(row.speeds, bare, strict=True)] if bare else []
        share = statistics.median(row.speeds) * row.flop / peak
        lines.append(f"| {row.name} | {_ranged(row.speeds, ',.0f')} | {_ranged(ratios, '.2f') if ratios else ''} | {row.mebibytes:,.0f} | "
                     f"{share:.0%} |")
    return "\n".join(lines)


def _ranged(values: Sequence[float], form: str) -> str:
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"
