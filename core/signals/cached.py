"""A teacher that is queried once for each block: its answers are kept in a cache and read from there ever after.

Shapes: B blocks, T positions.
"""

from __future__ import annotations

import math
import time

import torch
from torch import Tensor

from core.errors import CorruptSignalsError
from core.models.forward import States
from core.signals.cache import SignalCache, block_keys
from core.signals.forms import HiddenStates, StoredForm
from core.signals.source import Answer, Form, TeacherSignals
from core.signals.targets import Head, Mixture, Sampled, TopK


class CachedTeacher:
    """Answers from a cache; what it does not hold is queried of another source, and kept.

    Args:
        cache: of that teacher, in that form.
        form: how answers are kept.
        source: queried for blocks that are not kept; None where all are.
        flush_seconds: answers that wait longer are written: what was paid for is not lost with the process.

    Attributes:
        queried, reused: blocks that the source answered, and blocks that were read, so far.
        seconds: that the source took.
    """

    def __init__(self, cache: SignalCache, form: StoredForm, source: TeacherSignals | None, *, flush_seconds: float = math.inf) -> None:
        self.cache, self.stored, self.source, self.flush_seconds = cache, form, source, flush_seconds
        self.queried = self.reused = 0
        self.seconds = 0.0
        self._head: Head | None = None
        self._flushed = time.monotonic()

    @property
    def form(self) -> Form:
        """The form of its answers."""
        return self.stored.name

    def answer(self, input_ids: Tensor, attention_mask: Tensor | None, positions: Tensor, *, all_hidden_states: bool = False) -> Answer:
        """Return the kept answers at the chosen positions; hidden states of the last block where they are what is kept.

        Raises:
            CorruptSignalsError: a block is not kept and there is no teacher to ask, or the cache is damaged.
        """
        assert attention_mask is None, "masked inputs differ at every step: they are not kept"
        assert not all_hidden_states, "inner states are not kept"
        blocks = block_keys(input_ids)
        missing = self.cache.missing(blocks)
        if missing:
            self._ask(input_ids[missing])
        self.queried += len(missing)
        self.reused += len(blocks) - len(missing)
        rows = self.cache.read(blocks)
        head = self._head_on(positions.device)
        if isinstance(self.stored, HiddenStates):
            states = self.stored.whole(rows, positions.device)
            return Answer(self.stored.at(states, positions, head), States((states,), states))
        return Answer(self.stored.decode(rows, positions, head, self.cache.key.vocabulary))

    def fill(self, input_ids: Tensor) -> int:
        """Ask for the blocks (B, T) that are not kept yet. Returns how many there were."""
        missing = self.cache.missing(block_keys(input_ids))
        if missing:
            self._ask(input_ids[missing])
        self.queried += len(missing)
        return len(missing)

    def flush(self) -> None:
        """Write what is not on disk yet."""
        self.cache.flush()
        self._flushed = time.monotonic()

    def metrics(self) -> dict[str, float]:
        """Return the metrics of the source that fills the cache."""
        return self.source.metrics() if self.source is not None else {}

    def _ask(self, input_ids: Tensor) -> None:
        if self.source is None:
            raise CorruptSignalsError(f"The teacher's answers in '{self.cache.folder}' lack a block of this text.",
                                      "Every block was expected, since there is no teacher to ask.",
                                      "Build the cache again with its teacher.", field="teacher.signals.form")
        started = time.perf_counter()
        whole = self.source.answer(input_ids, None, torch.ones_like(input_ids, dtype=torch.bool)).targets
        assert isinstance(whole, (Head, Mixture, TopK)) and not isinstance(whole, Sampled), "a source answers in full"
        if isinstance(whole, Head) and self.stored.name == "hidden":
            self.cache.keep_head(whole)
        seeds = [int.from_bytes(block[:7], "little") for block in block_keys(input_ids)]
        arrays = self.stored.encode(whole, len(input_ids), self.cache.key.vocabulary, seeds)
        took = time.perf_counter() - started
        self.seconds += took
        self.cache.add(input_ids, arrays, took)
        if time.monotonic() - self._flushed > self.flush_seconds:
            self.flush()

    def _head_on(self, device: torch.device) -> Head | None:
        if self._head is None and self.stored.name == "hidden":
            self._head = self.cache.head(device)
        return self._head
