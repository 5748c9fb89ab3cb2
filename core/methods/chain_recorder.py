"""How a chain is recorded: as one training of many steps, where each anchor is trained by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from core.events import Evaluation, Event, Headway, Phase, Processes, Sample
from core.recorder import STUDENT, Recorder
from core.reports.run_report import RunReport


@dataclass(frozen=True)
class AnchorRecorder:
    """Records the training of an anchor as a part of the chain's.

    Attributes:
        recorder: of the chain.
        number: of the anchor, from 1.
        anchors: that are trained, in all.
        steps: of each.
    """

    recorder: Recorder
    number: int
    anchors: int
    steps: int

    @property
    def steps_before(self) -> int:
        """Optimiser steps of the anchors before this one."""
        return (self.number - 1) * self.steps

    def log(self, variant: str, step: int, metrics: Mapping[str, float]) -> None:
        """Record numbers behind those of the anchors before; of the untrained students the first one's alone."""
        if step or self.number == 1:
            self.recorder.log(STUDENT, step + self.steps_before, metrics)

    def event(self, event: Event) -> None:
        """Record an event with the anchor that it is about; no report but the chain's."""
        if isinstance(event, RunReport):
            return
        if isinstance(event, Phase):
            event = replace(event, anchor=self.number, anchors=self.anchors,
                            total_steps=event.total_steps and event.total_steps * self.anchors)
        elif isinstance(event, Headway):
            share, left = event.share, event.seconds_left
            if left is not None:  # the anchors to come take about as long as this one
                left += (self.anchors - self.number) * (left / (1 - share) if share < 1 else 0.0)
            event = replace(event, share=(self.number - 1 + share) / self.anchors, seconds_left=left)
        elif isinstance(event, Evaluation):
            event = replace(event, anchor=self.number)
        elif isinstance(event, Sample | Processes):
            event = replace(event, step=event.step + self.steps_before)
        self.recorder.event(event)

    def should_stop(self) -> bool:
        """Return whether the user has requested a stop."""
        return self.recorder.should_stop()
