"""What the store hands out: runs, their progress and their events, as frozen values."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from core.config import ExperimentConfig
from core.errors import StillhouseError
from core.events import Phase, parse_phase
from core.recipes import parse_recipe
from workbench.processes import Process

#   queued -> starting -> running -> finished | failed
#                  └────> stopping -> stopped             lost: its process is gone without a word
Status = Literal["queued", "starting", "running", "stopping", "stopped", "finished", "failed", "lost"]
MetricRow = tuple[str, int, str, float]  # variant, step, name, value
EventRow = tuple[str, Mapping[str, Any], float]  # kind, payload, time

ACTIVE: tuple[Status, ...] = ("starting", "running", "stopping")
RESUMABLE: tuple[Status, ...] = ("stopped", "failed", "lost")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come.

    Attributes:
        phase: name of the current phase (`core.events.Phase`); None before the start.
        variant: ``student`` or ``control``; None outside training.
        step: optimiser steps done of this variant.
        total: optimiser steps to do of this variant; None while unknown.
        share: of the run's time that is over, 0 to 1; None while unknown.
        seconds_left: of the whole run, when it was last written; None while unknown.
        done, items: items of the present phase, as blocks of an evaluation, that are done, and all; 0 where it has none.
    """

    phase: str | None
    variant: str | None
    step: int
    total: int | None
    share: float | None = None
    seconds_left: float | None = None
    done: int = 0
    items: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """Something that is not a number; `seq` grows over the whole store, `time` is in seconds since 1970."""

    seq: int
    kind: str
    payload: dict[str, Any]
    time: float

    @property
    def phase(self) -> Phase:
        """The event as a phase."""
        return parse_phase(self.payload)


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run that is to be queued.

    Attributes:
        config: its name, or one derived from its models, is made unique by a number.
        command: the line that repeats it; None for one that names the recipe in its folder.
        parents: model reference in the config -> the same reference by run id.
        device: claimed for a worker in this process on that device; the queue never sees it.
        after: place of the run, among those queued together, that ends before this one starts.
        launch: where it is carried out, if not on this machine, as `Run.launch`.
    """

    config: ExperimentConfig
    command: str | None = None
    parents: Mapping[str, str] = field(default_factory=dict)
    device: str | None = None
    after: int | None = None
    launch: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Run:
    """One row of the store. All times are seconds since 1970, or None when it has not happened.

    Attributes:
        directory: the run's folder.
        parents: model reference as written in the recipe -> the same reference by run id, for every run it builds on.
        device: the slot it occupies or occupied, as ``cpu`` or ``cuda:0``; None before the first start.
        started: when the current attempt began, after a resume the resumed one.
        heartbeat: when the worker last wrote.
        after: id of the run that a queued one waits for, since both need the same answers of a teacher.
        message: how it ended, in one sentence; `hint`: what to do about it.
        launch: where it is carried out, as `workbench.launch.launcher.SlurmSpec` in plain data; None for this machine.
    """

    id: str
    name: str
    status: Status
    config_json: str
    config_hash: str
    seed: int
    command: str
    parents: dict[str, str]
    versions: dict[str, str]
    git_commit: str | None
    created: float
    started: float | None
    finished: float | None
    deleted: float | None
    device: str | None
    process: Process | None
    heartbeat: float | None
    stop_requested: float | None
    progress: Progress
    message: str | None
    hint: str | None
    error_json: str | None
    after: str | None
    directory: Path
    launch: Mapping[str, Any] | None = None

    @cached_property
    def config(self) -> ExperimentConfig:
        """The whole configuration. Raises ConfigError if a later release no longer accepts it; everything else still works."""
        return parse_recipe(json.loads(self.config_json))

    @property
    def error(self) -> StillhouseError | None:
        """The error that ended a failed run; of one that release 0.1.0 stored, what is known of it."""
        if self.error_json is not None:
            return StillhouseError.from_dict(json.loads(self.error_json))
        return StillhouseError(self.message or "", "", self.hint or "") if self.status == "failed" else None

    @property
    def seconds(self) -> float | None:
        """Return how long its last attempt took; None before its end, and where the clock was set back meanwhile."""
        took = self.finished - self.started if self.finished is not None and self.started is not None else -1.0
        return took if took >= 0 else None

    @property
    def requested_device(self) -> str:
        """Return the device requested by the configuration; readable even when `config` is not."""
        return json.loads(self.config_json)["train"]["device"]

    @property
    def builds_chain(self) -> bool:
        """Whether it trains a chain of anchors in place of one student; readable even when `config` is not."""
        return json.loads(self.config_json).get("chain") is not None

    @property
    def crosses_bridge(self) -> bool:
        """Return whether the run is sequence-level distillation on generated texts; readable even when `config` is not."""
        return json.loads(self.config_json).get("bridge") is not None

    @property
    def active(self) -> bool:
        """Whether a worker is at it, or about to be."""
        return self.status in ACTIVE

    @property
    def resumable(self) -> bool:
        """Whether `resume` would be accepted."""
        return self.status in RESUMABLE and self.deleted is None

    @property
    def output_dir(self) -> Path:
        """The student's model folder; it exists once training ended."""
        return self.directory / "student"

    @property
    def log_path(self) -> Path:
        """What the worker printed."""
        return self.directory / "log.txt"

    @property
    def journal_path(self) -> Path:
        """What the worker logged and the store may not have yet."""
        return self.directory / "journal.jsonl"


def run_from_row(row: sqlite3.Row, runs_dir: Path) -> Run:
    """Return the value of one row of the table ``runs``."""
    process = Process(row["pid"], row["pid_started"], row["boot_id"]) if row["pid"] is not None else None
    same = ("id", "name", "status", "config_hash", "seed", "command", "git_commit", "created", "started", "finished", "deleted",
            "device", "heartbeat", "stop_requested", "message", "hint", "after")
    return Run(**{column: row[column] for column in same}, config_json=row["config"], error_json=row["error"],
               parents=json.loads(row["parents"]), versions=json.loads(row["versions"]), process=process, directory=runs_dir / row["id"],
               launch=json.loads(row["launch"]) if row["launch"] else None,
               progress=Progress(row["phase"], row["arm"], row["step"], row["total_steps"], row["share"], row["seconds_left"], row["done"],
                                 row["items"]))
