"""One process of a run: ``python -m workbench.launch.rank FOLDER``, as a launcher starts it, which says in the environment who it is.

Rank 0 carries the run out and writes what it records into the run's folder; the others train with it. None of them opens the store.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import signal
import time
import traceback
from pathlib import Path
from types import FrameType

from core.methods import run_experiment
from core.recorder import NullRecorder
from core.system import ranks
from core.system.files import write_json
from workbench.error_mapping import to_user_error
from workbench.launch import slurm
from workbench.launch.family import end_with_parent
from workbench.launch.job import FOLDER, Job
from workbench.launch.records import RecordsWriter


def carry_out(directory: Path) -> int:
    """Do this process's part of a run; return 0 where it ended well, stopped or not."""
    rank = int(os.environ.get("RANK", "0"))
    job = Job.read(directory)
    recorder = RecordsWriter(job.folder) if rank == 0 else None
    failed = job.folder / f"{rank}.error.json"
    failed.unlink(missing_ok=True)  # of the same job before it was queued again
    if "SLURM_JOB_ID" in os.environ:
        for number in (signal.SIGUSR2, signal.SIGTERM):
            signal.signal(number, recorder.on_signal if recorder is not None else _wait_for_rank_0)
    try:
        report = run_experiment(job.config, recorder or NullRecorder(), directory, load=job.loader(), command=job.command)
    except Exception as failure:
        traceback.print_exc()
        write_json(failed, {"error": to_user_error(failure, directory).to_dict(), "time": time.time()})
        return 1
    if recorder is not None and not (report.stopped and recorder.interrupted):
        recorder.end(report)
    elif recorder is not None:
        slurm.requeue()
    return 0


def _wait_for_rank_0(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: rank 0 has heard the signal too, and decides when all stop."""


def main(arguments: list[str] | None = None) -> int:
    """Do this process's part; what it prints goes to a file of its own."""
    parser = argparse.ArgumentParser(prog="python -m workbench.launch.rank", description="Be one process of a run. A launcher starts this.")
    parser.add_argument("directory", type=Path, help="path; the run's folder")
    directory = parser.parse_args(arguments).directory
    if slurm.in_job():
        slurm.enter()
    if not (directory / FOLDER / "job.json").is_file():
        return slurm.NOT_SHARED
    log = os.open(directory / FOLDER / f"{os.environ.get('RANK', '0')}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for stream in (1, 2):
        os.dup2(log, stream)
    faulthandler.enable()
    end_with_parent()
    return carry_out(directory)


if __name__ == "__main__":
    code = main()
    ranks.leave(code)
    raise SystemExit(code)
