"""Start, watch and stop the check of a claim. What it is at stands in a file, so that any page finds it again after a reload.

    <home>/claims/<NAME>/check.json   state, process, how far it is
    <home>/claims/<NAME>/log.txt      what the process printed
    <home>/claims/<NAME>/stop         there while it is asked to stop
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from core.claims import outcomes, registry
from core.claims.claim import DEFAULT_SEEDS
from core.json_files import write_json
from workbench.checks import work
from workbench.checks.turns import require_turn
from workbench.errors import CheckError
from workbench.processes import Process

WORKER = (sys.executable, "-m", "workbench.checks.worker")

State = Literal["running", "stopped", "finished", "failed", "lost"]


@dataclass(frozen=True, slots=True)
class Check:
    """The latest background check of one claim.

    Attributes:
        state: ``lost`` is one whose process vanished without a word.
        process: which one does it, or did.
        began: seconds since 1970.
        done, seeds: seeds that have ended, and all of them.
        text: what it is doing.
        message, hint: why it ended as it did, and what to do now.
    """

    claim: str
    state: State
    process: Process
    began: float
    done: int = 0
    seeds: int = DEFAULT_SEEDS
    text: str = "Starting"
    message: str = ""
    hint: str = ""

    @property
    def stopping(self) -> bool:
        """Whether it runs and was asked to stop."""
        return self.state == "running" and stop_file(self.claim).exists()


def start(name: str, seeds: int = DEFAULT_SEEDS) -> None:
    """Check a claim in a process that outlives this one; goes on after seeds that had ended before a stop.

    Raises:
        CheckError: another check runs, or an ablation; or the process cannot be started.
    """
    require_turn()
    try:
        pid = work.launch([*WORKER, name, "--seeds", str(seeds)], outcomes.folder(name))
    except OSError as error:
        raise CheckError(f"The check of {name} could not be started: {(error.strerror or str(error)).lower()}.") from error
    told = latest(name)
    if told is None or told.process.pid != pid:  # it may have told of itself already
        note(Check(name, "running", Process.of(pid), time.time(), seeds=seeds))


def stop(name: str) -> None:
    """Ask it to stop after its current step; seeds that ended are kept."""
    stop_file(name).touch()


def latest(name: str) -> Check | None:
    """What the latest check of a claim is at; None where none was started here."""
    try:
        plain = json.loads(_check_file(name).read_text(encoding="utf-8"))
        check = Check(**{**plain, "process": Process(**plain["process"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if check.state == "running" and not check.process.alive:
        return replace(check, state="lost", message="Its process ended without a word: killed, out of memory, or crashed.",
                       hint="Seeds that had ended are kept: check again to go on after them.")
    return check


def running() -> Check | None:
    """The check that runs now."""
    return next((check for check in map(latest, registry.CLAIMS) if check is not None and check.state == "running"), None)


def note(check: Check) -> None:
    """Write down what a check is at."""
    write_json(_check_file(check.claim), asdict(check))


def log_tail(name: str) -> str:
    """The end of what its process printed."""
    return work.log_tail(outcomes.folder(name))


def stop_file(name: str) -> Path:
    """There while a stop is asked for: a file, because not every system has a signal that can be answered."""
    return outcomes.folder(name) / work.STOP


def _check_file(name: str) -> Path:
    return outcomes.folder(name) / "check.json"
