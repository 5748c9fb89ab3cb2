"""Wait for states, never for times.

`PATIENCE` only ends a wait for what will never come. It is generous, since on a busy machine a process takes tens of seconds to start.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 120.0  # seconds; less than pytest's own limit for a test, so that the message is the wait's own
POLL = 0.01  # seconds

Value = TypeVar("Value")


def wait_until(look: Callable[[], Value], what: str | Callable[[], str] = "the state that was waited for") -> Value:
    """Return the first true value of `look`.

    Args:
        look: called again and again.
        what: names the state, or returns a description of it, for the error.

    Raises:
        AssertionError: it did not come within `PATIENCE`.
    """
    end = time.monotonic() + PATIENCE
    while not (value := look()):
        assert time.monotonic() < end, f"did not come in {PATIENCE:g} s: {what if isinstance(what, str) else what()}"
        time.sleep(POLL)
    return value
