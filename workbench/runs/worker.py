"""One run in one process: ``python -m workbench.runs.worker RUN_ID`` in the background, or in the foreground by the command line.

The launcher has claimed the run; the worker marks it as running, trains, and sets its final status. Only a worker that the
operating system kills leaves that to `jobs.reconcile`, which sets ``lost``.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType

from core.errors import StillhouseError
from core.methods import run_experiment
from core.planning.preflight import processes_of
from core.recorder import Recorder
from core.reports.run_report import Report
from core.system.machine import require_room_for_libraries
from core.system.ranks import started_together
from core.training.trackers import grouped
from workbench.error_mapping import to_user_error
from workbench.errors import StoreError, WrongStatusError
from workbench.launch.local import LocalProcesses
from workbench.launch.watching import watch
from workbench.processes import Process, lower_priority
from workbench.runs import jobs, submission
from workbench.runs.progress import ProgressLog
from workbench.runs.ready import await_run, import_engine
from workbench.runs.recording import StoreRecorder
from workbench.store import Store, references
from workbench.store.records import Run, Status

Engine = Callable[..., Report | None]  # the signature of `core.methods.distillation.distill`

Ending = tuple[Status, str, str]  # status, message, hint
FINISHED: Ending = ("finished", "", "")
RESERVE, RESERVE_BYTES = ".reserve", 1 << 20
STDERR = 2  # file descriptor
EXIT_ALREADY_CLAIMED = 3  # another worker has the run


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: the run as the store has it, the engine's report if there is one, and what went wrong if anything did."""

    run: Run
    report: Report | None
    error: StillhouseError | None


def run_worker(run_id: str, store: Store, engine: Engine | None = None, *, watchers: tuple[Recorder, ...] = (),
               may_end: bool = False) -> Outcome:
    """Carry out a claimed run in this process, and set its final status.

    SIGTERM, and Ctrl-C once, request a stop with a checkpoint; Ctrl-C again ends it at the last checkpoint.

    Args:
        engine: what trains (default: what `core.methods` has for the run's configuration).
        watchers: recorders that receive everything too, as a progress line.
        may_end: whether this process may end itself where a phase that can be repeated does not answer a request to stop.

    Raises:
        WrongStatusError: the run was not waiting for a worker.
        StoreUnavailableError: the store cannot be written any more, not even with the reserved space.
    """
    process = Process.current()
    if not store.mark_running(run_id, process):
        raise WrongStatusError(f"The run {run_id} is {store.run(run_id).status}.", "A run that was claimed for this process was expected.")
    run = store.run(run_id)
    report, error = None, None
    try:
        with (open(run.log_path, "a", buffering=1, encoding="utf-8") as log,
              StoreRecorder(store, run, process, (ProgressLog(log, times=True), *watchers),
                            partial(_abandon, run, store) if may_end else None) as recorder,
              _reserved_space(run.directory), _signals_stop(recorder)):
            if run.stop_requested is None:
                if run.launch is None:
                    require_room_for_libraries()  # the engine imports them
                train = engine or _engine_of(run, store)
                swept = store.sweeps_of_runs(run_id).get(run_id)
                with grouped(swept.name if swept is not None else None):
                    report = train(run.config, recorder, run.directory, load=references.loader(run, store), command=run.command)
        finished = report is not None and not report.stopped
        ending = FINISHED if finished else _stopped("Stopped", store.run(run_id))
    except KeyboardInterrupt:
        ending = _stopped("Interrupted, without a checkpoint,", store.run(run_id))
    except Exception as failure:  # whatever happened, the run must not stay "running"
        error = to_user_error(failure, run.directory)
        ending = "failed", " ".join(filter(None, (error.given, error.expected))), error.advice
        with suppress(OSError), open(run.log_path, "a", encoding="utf-8") as log:
            traceback.print_exception(failure, file=log)
    store.finish(run_id, *ending, attempt=run.started, error=error)
    return Outcome(store.run(run_id), report, error)


def _engine_of(run: Run, store: Store) -> Engine:
    """Return what trains a run here: this process, or several that it starts and looks after."""
    if (launcher := submission.launcher_of(run)) is not None:
        return partial(watch, job=jobs.job_of(run, store), launcher=launcher)
    processes = 1 if started_together() > 1 else processes_of(run.config.train)
    if processes == 1:
        return run_experiment
    return partial(watch, job=jobs.job_of(run, store), launcher=LocalProcesses(processes))


def _abandon(run: Run, store: Store) -> None:
    """End this process in the middle of a phase that a resumed run repeats."""
    if store.finish(run.id, *_stopped("Stopped", store.run(run.id)), attempt=run.started):
        (run.directory / RESERVE).unlink(missing_ok=True)
        jobs.launch_next(store)
        os._exit(0)


def _stopped(how: str, run: Run) -> Ending:
    total = f" of {run.progress.total}" if run.progress.total else ""
    return "stopped", f"{how} at step {run.progress.step}{total}.", "Resume continues from the last checkpoint."


@contextmanager
def _reserved_space(directory: Path) -> Iterator[None]:
    """Reserve a little disk space, so that the final status can be written even when the disk is full."""
    reserve = directory / RESERVE
    try:
        reserve.write_bytes(os.urandom(RESERVE_BYTES))  # random: a file system that compresses would keep zeros for nothing
        yield
    finally:
        reserve.unlink(missing_ok=True)


@contextmanager
def _signals_stop(recorder: StoreRecorder) -> Iterator[None]:
    """Turn the signals that end a process into stop requests; a second Ctrl-C raises KeyboardInterrupt."""
    def on_signal(number: int, _frame: FrameType | None) -> None:
        recorder.request_stop()
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            with suppress(OSError):  # not print: it may be what the signal interrupted, and a stream refuses to be entered twice
                os.write(STDERR, b"\nStopping after this step, with a checkpoint. Ctrl-C again to end at once.\n")

    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main(arguments: list[str] | None = None, engine: Engine | None = None) -> int:
    """Run the worker process, whose standard output and error are the run's log, then start the next run in the queue."""
    parser = argparse.ArgumentParser(prog="python -m workbench.runs.worker", description="Run one claimed run. The job runner starts this.")
    parser.add_argument("run_id", nargs="?", help="id; a run that was claimed for this process")
    parser.add_argument("--wait", action="store_true", help="switch; wait for a run, see workbench.runs.ready")
    parser.add_argument("--store", type=Path, help="path; the store's SQLite file (default: the one in STILLHOUSE_HOME)")
    options = parser.parse_args(arguments)
    faulthandler.enable()
    lower_priority()
    run_id, path = options.run_id, options.store
    if options.wait:
        given = await_run(import_engine if engine is None else None)
        if given is None:
            return 0
        run_id, path = given
    try:
        store = Store(path)
        outcome = run_worker(run_id, store, engine, may_end=True)
        jobs.launch_next(store)
    except StoreError as error:
        print(error, flush=True)
        return EXIT_ALREADY_CLAIMED if isinstance(error, WrongStatusError) else 1
    return 0 if outcome.error is None else 1


if __name__ == "__main__":
    raise SystemExit(main())
