"""How fast a training is."""

from __future__ import annotations

import math
import time
from typing import Any

from transformers import TrainerCallback

SHOW_SECONDS = 5.0  # between two records of the speed of each process


class ThroughputCallback(TrainerCallback):
    """Training speed without evaluation, saving and the first step, which warms up.

    Attributes:
        own_tokens: that this process has read, where it is one of several.
    """

    def __init__(self) -> None:
        self.seconds = self._began = 0.0
        self._tokens_before: float | None = None
        self.own_tokens = self._own_before = 0
        self._shown = -math.inf

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Begin to count the seconds of a step."""
        self._began = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Count them; the first step only says from where tokens are counted."""
        if self._tokens_before is None:
            self._tokens_before, self._own_before = float(state.num_input_tokens_seen), self.own_tokens
        else:
            self.seconds += time.perf_counter() - self._began

    def tokens_per_second(self, state: Any) -> float:
        """Tokens a second since the second step of this session; 0 before there is one."""
        return (state.num_input_tokens_seen - (self._tokens_before or 0.0)) / self.seconds if self.seconds else 0.0

    @property
    def own_tokens_per_second(self) -> float:
        """The same of this process's share; 0 where it is alone."""
        return (self.own_tokens - self._own_before) / self.seconds if self.seconds else 0.0

    def due(self) -> bool:
        """Return whether the speed of each process was not recorded for a while."""
        now = time.monotonic()
        if now - self._shown < SHOW_SECONDS:
            return False
        self._shown = now
        return True
