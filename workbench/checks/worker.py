"""One check in one process: ``python -m workbench.checks.worker NAME``. The page starts it; it writes down how far it is."""

from __future__ import annotations

import argparse
import os
import signal
import time
import traceback
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from core.claims import outcomes
from core.claims.claim import DEFAULT_SEEDS, seeds_of
from core.claims.running import run_claim
from core.recorder import Stopped
from workbench.checks import background
from workbench.checks.background import Check
from workbench.failures import explain
from workbench.processes import Process

NOTE_SECONDS = 1.0
NICENESS = 5  # on a machine with few cores the app stays quick beside a check


class CheckRecorder:
    """A `core.recorder.Recorder` that writes down what the check is at, and hears of a stop."""

    def __init__(self, check: Check) -> None:
        self.check = check
        self._stop = False
        self._noted = self._looked = 0.0
        self._phase, self._total = check.text, None
        self._note(check)

    def log(self, arm: str, step: int, metrics: Mapping[str, float]) -> None:
        if time.monotonic() - self._noted > NOTE_SECONDS:
            total = f" of {self._total:,}" if self._total else ""
            self._note(replace(self.check, text=f"{self._phase}: step {step:,}{total}"))

    def event(self, kind: str, payload: Mapping[str, Any]) -> None:
        if kind == "claim":
            self._note(replace(self.check, done=payload["done"], seeds=payload["seeds"]))
        elif kind == "phase":
            self._phase, self._total = payload["name"], payload.get("total_steps")
            print(time.strftime("%H:%M:%S"), self._phase, flush=True)
            self._note(replace(self.check, text=self._phase))

    def should_stop(self) -> bool:
        if not self._stop and time.monotonic() - self._looked > NOTE_SECONDS / 2:
            self._looked = time.monotonic()
            self._stop = background.stop_file(self.check.claim).exists()
        return self._stop

    def request_stop(self, *_: Any) -> None:
        """Make `should_stop` true; safe in a signal handler."""
        self._stop = True

    def end(self, **how: Any) -> None:
        """Write down the last word, last: who reads it may start the work again."""
        background.stop_file(self.check.claim).unlink(missing_ok=True)
        self._note(replace(self.check, text="", **how))

    def _note(self, check: Check) -> None:
        self.check, self._noted = check, time.monotonic()
        background.note(check)


def main(arguments: list[str] | None = None) -> int:
    """Run the check; its standard output and error are the log."""
    parser = argparse.ArgumentParser(prog="python -m workbench.checks.worker", description="Check one claim. The page starts this.")
    parser.add_argument("name", help="name; of the claim")
    parser.add_argument("--seeds", type=int, default=DEFAULT_SEEDS, help="seeds; how many (default: %(default)s)")
    options = parser.parse_args(arguments)
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    recorder = CheckRecorder(Check(options.name, "running", Process.current(), time.time(), seeds=options.seeds))
    signal.signal(signal.SIGTERM, recorder.request_stop)
    try:
        run_claim(options.name, seeds_of(options.seeds), recorder)
    except Stopped:
        recorder.end(state="stopped", message="Stopped.", hint="Seeds that had ended are kept: check again to go on after them.")
    except Exception as failure:  # whatever happened, the check must not stay "running"
        traceback.print_exception(failure)
        error = explain(failure, outcomes.folder(options.name))
        recorder.end(state="failed", message=" ".join(filter(None, (error.given, error.expected))), hint=error.fix)
        return 1
    else:
        recorder.end(state="finished", done=options.seeds)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
