"""A run's progress as text: lines for a log, one line that rewrites itself for a terminal."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TextIO

from core.events import AblationPart, Annotating, ClaimPart, Event, Phase, RunWarning, ScoringTask, TrainingNetwork
from core.system import units
from workbench.store.records import Progress

LOG_SECONDS, TERMINAL_SECONDS = 10.0, 0.5  # between two reports of a step


class ProgressLog:
    """A `core.recorder.Recorder` that prints phases, evaluations and now and then a step.

    Args:
        times: whether each line begins with the date and time of this machine, as in a log that is read later.
    """

    def __init__(self, stream: TextIO, *, times: bool = False) -> None:
        self._stream, self._times = stream, times
        self._rewrites = stream.isatty()
        self._interval = TERMINAL_SECONDS if self._rewrites else LOG_SECONDS
        self._progress = Progress(None, None, 0, None)
        self._began = self._first_step = self._last_print = 0.0
        self._open_line = False

    def log(self, variant: str, step: int, metrics: Mapping[str, float]) -> None:
        """Print what was evaluated, and a step where the interval has passed."""
        measured = {name.removeprefix("eval/").replace("_", " "): value for name, value in metrics.items() if name.startswith("eval/")}
        if measured:
            self._line(f"  {variant} at step {step}: {', '.join(f'{name} {value:.4g}' for name, value in measured.items())}")
        if "loss" in metrics:
            self._step(variant, step, metrics)

    def event(self, event: Event) -> None:
        """Print a phase, the parts of a study and warnings."""
        match event:
            case Phase():
                self._progress = Progress(event.name, event.variant, 0, event.total_steps)
                self._began = 0.0
                self._line(_phase(event))
            case ClaimPart():
                seed = "all seeds" if event.seed is None else f"seed {event.seed}"
                self._line(f"{event.name}, {seed}: {event.done} of {event.total} done")
            case AblationPart():
                self._line(f"{event.variant.replace('_', ' ')}, seed {event.seed}: {event.done} of {event.total} trainings done")
            case RunWarning():
                self._line(f"Warning: {event.message}")

    def should_stop(self) -> bool:
        """Return False: whoever waits for the output stops it by a signal."""
        return False

    def close(self) -> None:
        """Leave the cursor on a line of its own."""
        if self._open_line:
            print(file=self._stream, flush=True)
            self._open_line = False

    def _step(self, variant: str, step: int, metrics: Mapping[str, float]) -> None:
        now, total = time.monotonic(), self._progress.total
        if not self._began:
            self._began, self._first_step = now, step
        if now - self._last_print < self._interval and step != total:
            return
        self._last_print = now
        parts = [f"  {variant} step {step}" + (f" of {total}" if total else ""), f"loss {metrics['loss']:.4f}"]
        if "tokens_per_second" in metrics:
            parts.append(f"{metrics['tokens_per_second']:,.0f} tokens/s")
        if total and step > self._first_step:
            parts.append(f"about {units.duration((now - self._began) / (step - self._first_step) * (total - step))} left")
        self._line("  ".join(parts), rewritable=True)

    def _line(self, text: str, rewritable: bool = False) -> None:
        if self._rewrites and rewritable:
            print(f"\r\x1b[K{text}", end="", file=self._stream, flush=True)
            self._open_line = True
            return
        self.close()
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text}" if self._times else text, file=self._stream, flush=True)


def _phase(phase: Phase) -> str:
    """Return what a phase does and, where it says so, to which model and how far it is."""
    text, subject = phase.name.capitalize(), (phase.subject or "").replace("_", " ")
    if isinstance(phase, ScoringTask):
        return f"{text} {phase.done + 1} of {phase.total}: {subject} on {phase.task}, seed {phase.seed}"
    if isinstance(phase, Annotating):
        return (f"{text}: {phase.behaviour}, {phase.done:,} of {phase.sentences:,} sentences, {phase.valid:,} answers valid and "
                f"{phase.dropped:,} dropped so far")
    if isinstance(phase, TrainingNetwork):
        return f"Train network {phase.done + 1} of {phase.total}: {phase.network}, seed {phase.seed}"
    return f"{text}: {subject}" if subject else text
