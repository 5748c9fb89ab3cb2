"""A run's progress as text: lines for a log, one line that rewrites itself for a terminal."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, TextIO

from core.system import units
from workbench.store.records import Progress

LOG_SECONDS, TERMINAL_SECONDS = 10.0, 0.5  # between two reports of a step


class ProgressLog:
    """A `core.recorder.Recorder` that prints phases, evaluations and now and then a step."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._rewrites = stream.isatty()
        self._interval = TERMINAL_SECONDS if self._rewrites else LOG_SECONDS
        self._progress = Progress(None, None, 0, None)
        self._began = self._first_step = self._last_print = 0.0
        self._open_line = False

    def log(self, arm: str, step: int, metrics: Mapping[str, float]) -> None:
        measured = {name.removeprefix("eval/").replace("_", " "): value for name, value in metrics.items() if name.startswith("eval/")}
        if measured:
            self._line(f"  {arm} at step {step}: {', '.join(f'{name} {value:.4g}' for name, value in measured.items())}")
        if "loss" in metrics:
            self._step(arm, step, metrics)

    def event(self, kind: str, payload: Mapping[str, Any]) -> None:
        if kind == "phase":
            self._progress = Progress(payload["name"], payload.get("arm"), 0, payload.get("total_steps"))
            self._began = 0.0
            self._line(_phase(payload))
        elif kind == "claim":
            seed = "all seeds" if payload["seed"] is None else f"seed {payload['seed']}"
            self._line(f"{payload['name']}, {seed}: {payload['done']} of {payload['seeds']} done")
        elif kind == "ablation":
            variant = payload["variant"].replace("_", " ")
            self._line(f"{variant}, seed {payload['seed']}: {payload['done']} of {payload['total']} trainings done")
        elif kind == "warning":
            self._line(f"Warning: {payload['message']}")

    def should_stop(self) -> bool:
        return False

    def close(self) -> None:
        """Leave the cursor on a line of its own."""
        if self._open_line:
            print(file=self._stream, flush=True)
            self._open_line = False

    def _step(self, arm: str, step: int, metrics: Mapping[str, float]) -> None:
        now, total = time.monotonic(), self._progress.total
        if not self._began:
            self._began, self._first_step = now, step
        if now - self._last_print < self._interval and step != total:
            return
        self._last_print = now
        parts = [f"  {arm} step {step}" + (f" of {total}" if total else ""), f"loss {metrics['loss']:.4f}"]
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
        print(text, file=self._stream, flush=True)


def _phase(payload: Mapping[str, Any]) -> str:
    """What a phase does and, where it says so, to whom and how far that is."""
    text, who = payload["name"].capitalize(), payload.get("who", "").replace("_", " ")
    if "task" in payload:
        return f"{text} {payload['done'] + 1} of {payload['total']}: {who} on {payload['task']}, seed {payload['seed']}"
    return f"{text}: {who}" if who else text
