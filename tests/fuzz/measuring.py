"""What one answer costs, in a process that gives many."""

from __future__ import annotations

import gc
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.errors import StillhouseError

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True, slots=True)
class Cost:
    """One answer.

    Attributes:
        said: the answer's first words, or the error's kind.
        fault: the traceback of what is no `StillhouseError`; empty for an answer.
        seconds: of wall time.
        mebibytes: peak of resident memory above what the process held before.
    """

    said: str
    fault: str
    seconds: float
    mebibytes: float


def measured(action: Callable[[], str]) -> Cost:
    """Answer, and say what it cost (Linux: the peak of resident memory can be reset there)."""
    gc.collect()
    RESET.write_text("5")
    before, began = _status("VmRSS"), time.perf_counter()
    fault = ""
    try:
        said = action()
    except StillhouseError as error:
        said = f"{type(error).__name__}: {error}"
        if not error.given or not (error.expected or error.fix):
            fault = f"an error of one part: {error}"
    except Exception:
        said, fault = "fault", traceback.format_exc()
    return Cost(said, fault, time.perf_counter() - began, (_status("VmHWM") - before) / 1024)


def _status(name: str) -> int:
    """Return a number of kibibytes from the process's status."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1])
