"""One ablation in one process: ``python -m workbench.checks.ablation_worker FOLDER``. The page starts it; it writes down how far it is."""

from __future__ import annotations

import argparse
import os
import signal
import time
import traceback
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.ablation_results import WORDS, noted
from core.ablation_run import run_ablation
from core.errors import ConfigError
from core.recorder import Stopped
from workbench.checks import ablations
from workbench.checks.ablations import Trial
from workbench.checks.worker import NICENESS, NOTE_SECONDS
from workbench.failures import explain
from workbench.processes import Process


class TrialRecorder:
    """A `core.recorder.Recorder` that writes down what the ablation is at, and hears of a stop."""

    def __init__(self, folder: Path, trial: Trial) -> None:
        self.folder, self.trial = folder, trial
        self._stop = False
        self._noted = self._looked = 0.0
        self._who, self._phase, self._total = "", "", None
        self._note(trial)

    def log(self, arm: str, step: int, metrics: Mapping[str, float]) -> None:
        if time.monotonic() - self._noted > NOTE_SECONDS:
            total = f" of {self._total:,}" if self._total else ""
            self._note(replace(self.trial, text=f"{self._who}: step {step:,}{total}"))

    def event(self, kind: str, payload: Mapping[str, Any]) -> None:
        if kind == "ablation":
            self._who = f"{WORDS[payload['variant']]}, seed {payload['seed']}"
            print(time.strftime("%H:%M:%S"), self._who, flush=True)
            self._note(replace(self.trial, done=payload["done"], total=payload["total"], text=self._who))
        elif kind == "phase":
            self._total = payload.get("total_steps")
            self._note(replace(self.trial, text=f"{self._who}: {payload['name']}"))

    def should_stop(self) -> bool:
        if not self._stop and time.monotonic() - self._looked > NOTE_SECONDS / 2:
            self._looked = time.monotonic()
            self._stop = ablations.stopping(self.folder)
        return self._stop

    def request_stop(self, *_: Any) -> None:
        """Make `should_stop` true; safe in a signal handler."""
        self._stop = True

    def end(self, **how: Any) -> None:
        """Write down the last word, last: who reads it may start the work again."""
        (self.folder / ablations.work.STOP).unlink(missing_ok=True)
        self._note(replace(self.trial, text="", **how))

    def _note(self, trial: Trial) -> None:
        self.trial, self._noted = trial, time.monotonic()
        ablations.note(self.folder, trial)


def main(arguments: list[str] | None = None) -> int:
    """Carry it out; its standard output and error are the log."""
    parser = argparse.ArgumentParser(prog="python -m workbench.checks.ablation_worker", description="One ablation. The page starts this.")
    parser.add_argument("folder", type=Path, help="folder; that says what is to be done")
    folder = parser.parse_args(arguments).folder
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    recorder = TrialRecorder(folder, Trial("running", Process.current(), time.time()))
    signal.signal(signal.SIGTERM, recorder.request_stop)
    try:
        task = noted(folder)
        if task is None:
            raise ConfigError(f"'{folder}' does not say what is to be done.", "A recipe that this release reads was expected.",
                              "Start the ablation again from its recipe.")
        run_ablation(*task, recorder)
    except Stopped:
        recorder.end(state="stopped", message="Stopped.", hint="Trainings that had ended are kept: start it again to go on after them.")
    except Exception as failure:  # whatever happened, it must not stay "running"
        traceback.print_exception(failure)
        error = explain(failure, folder)
        recorder.end(state="failed", message=" ".join(filter(None, (error.given, error.expected))), hint=error.fix)
        return 1
    else:
        recorder.end(state="finished", done=recorder.trial.total)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
