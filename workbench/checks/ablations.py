"""Start, watch and stop an ablation in the background. What it is at stands beside its result, so that any page finds it again.

    <home>/ablations/<folder>/state.json   state, process, how far it is
    <home>/ablations/<folder>/log.txt      what the process printed
    <home>/ablations/<folder>/stop         there while it is asked to stop
"""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from core import ablation_results
from core.config import ExperimentConfig
from core.json_files import read_json, write_json
from workbench.checks import work
from workbench.checks.background import State
from workbench.checks.turns import require_turn
from workbench.errors import CheckError
from workbench.processes import Process

WORKER = (sys.executable, "-m", "workbench.checks.ablation_worker")
STATE = "state.json"


@dataclass(frozen=True, slots=True)
class Trial:
    """The latest background work on one ablation.

    Attributes:
        state: ``lost`` is one whose process vanished without a word.
        process: which one does it, or did.
        began: seconds since 1970.
        done, total: trainings that have ended, and all of them.
        text: what it is doing.
        message, hint: why it ended as it did, and what to do now.
    """

    state: State
    process: Process
    began: float
    done: int = 0
    total: int = 0
    text: str = "Starting"
    message: str = ""
    hint: str = ""


def start(config: ExperimentConfig, seeds: int, command: str = "") -> Path:
    """Carry out an ablation in a process that outlives this one; goes on after trainings that had ended before a stop.

    Args:
        command: the line that does the same in a terminal.

    Returns:
        Its folder.

    Raises:
        ConfigError: a recipe of which nothing can be left out.
        CheckError: another one runs, or a check; or the process cannot be started.
    """
    from core.ablation import variants

    variants(config)
    require_turn()
    folder = ablation_results.note(config, seeds, command)
    try:
        pid = work.launch([*WORKER, str(folder)], folder)
    except OSError as error:
        raise CheckError(f"The ablation could not be started: {(error.strerror or str(error)).lower()}.") from error
    told = latest(folder)
    if told is None or told.process.pid != pid:  # it may have told of itself already
        note(folder, Trial("running", Process.of(pid), time.time()))
    return folder


def stop(folder: Path) -> None:
    """Ask it to stop after its current step; trainings that ended are kept."""
    (folder / work.STOP).touch()


def stopping(folder: Path) -> bool:
    """Whether it was asked to stop."""
    return (folder / work.STOP).exists()


def latest(folder: Path) -> Trial | None:
    """What the latest background work on an ablation is at; None where none was started here."""
    plain = read_json(folder / STATE)
    try:
        trial = Trial(**{**plain, "process": Process(**plain["process"])})
    except (KeyError, TypeError):
        return None
    if trial.state == "running" and not trial.process.alive:
        return replace(trial, state="lost", message="Its process ended without a word: killed, out of memory, or crashed.",
                       hint="Trainings that had ended are kept: start it again to go on after them.")
    return trial


def running() -> Path | None:
    """The folder of the ablation that runs now."""
    states = ((folder, latest(folder)) for folder in ablation_results.folders())
    return next((folder for folder, trial in states if trial is not None and trial.state == "running"), None)


def note(folder: Path, trial: Trial) -> None:
    """Write down what it is at."""
    write_json(folder / STATE, asdict(trial))
