"""One run in one process: ``python -m workbench.worker RUN_ID`` in the background, or in the foreground by the command line.

The launcher has claimed the run; the worker reports in, trains, and has the last word on how it ended. Only what the
operating system kills without asking ends as ``lost``, by `jobs.reconcile`.
"""

from __future__ import annotations

import argparse
import faulthandler
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from core.errors import StillhouseError
from core.recorder import Recorder
from workbench import jobs, references
from workbench.errors import StoreError, WrongStatus
from workbench.failures import explain
from workbench.processes import Process
from workbench.progress import ProgressLog
from workbench.recording import StoreRecorder
from workbench.records import Run
from workbench.store import Store

Engine = Callable[..., dict[str, Any]]  # the signature of `core.training.distill`

RESERVE_BYTES = 1 << 20  # kept on the disk during a run, so that a full one still takes the run's last words
NOT_MINE = 3  # exit code: another worker has the run


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: the run as the store has it, the engine's report if there is one, and what went wrong if anything did."""

    run: Run
    report: dict[str, Any] | None
    error: StillhouseError | None


def run_worker(run_id: str, store: Store, engine: Engine | None = None, *, watchers: tuple[Recorder, ...] = ()) -> Outcome:
    """Do a claimed run in this process, from reporting in to its last status.

    SIGTERM, and Ctrl-C once, ask it to stop with a checkpoint; Ctrl-C again ends it at the last checkpoint.

    Args:
        engine: what trains (default: `core.training.distill`).
        watchers: recorders that are told everything too, as a progress line.

    Raises:
        WrongStatus: the run was not waiting for a worker.
        StoreUnavailable: the store cannot be written any more, not even with the reserved space.
    """
    process = Process.current()
    if not store.report_in(run_id, process):
        raise WrongStatus(f"The run {run_id} is {store.run(run_id).status}.", "A run that was claimed for this process was expected.")
    run = store.run(run_id)
    report, error, interrupted = None, None, False
    reserve = run.directory / ".reserve"
    try:
        reserve.write_bytes(b"\0" * RESERVE_BYTES)
        with open(run.log_path, "a", buffering=1, encoding="utf-8") as log, StoreRecorder(store, run, process, (ProgressLog(log), *watchers)) as recorder:
            try:
                with _signals_stop(recorder):
                    if run.stop_requested is None:
                        report = (engine or _distill())(run.config, recorder, run.directory, load=references.loader(run, store), command=run.command)
            except KeyboardInterrupt:
                interrupted = True
            except Exception as failure:  # a row must not stay "running" whatever happened
                traceback.print_exception(failure, file=log)
                error = explain(failure, run.directory)
            finally:
                reserve.unlink(missing_ok=True)
    except OSError as failure:
        reserve.unlink(missing_ok=True)
        error = explain(failure, run.directory)
    _finish(store, store.run(run_id), process, report, error, interrupted)
    return Outcome(store.run(run_id), report, error)


def _distill() -> Engine:
    from core.training import distill

    return distill


def _finish(store: Store, run: Run, process: Process, report: dict[str, Any] | None, error: StillhouseError | None, interrupted: bool) -> None:
    if error is not None:
        store.finish(run.id, "failed", " ".join(filter(None, (error.given, error.expected))), error.fix, process=process)
    elif report is None or report.get("stopped"):
        place = f"at step {run.progress.step}" + (f" of {run.progress.total}" if run.progress.total else "")
        message = f"Interrupted {place}, without a checkpoint of that step." if interrupted else f"Stopped {place}."
        store.finish(run.id, "stopped", message, "Resume goes on from the last checkpoint.", process=process)
    else:
        store.finish(run.id, "finished", process=process)


@contextmanager
def _signals_stop(recorder: StoreRecorder) -> Iterator[None]:
    """Within it, the signals that end a process ask for a stop; a second Ctrl-C raises KeyboardInterrupt."""
    def on_signal(number: int, _frame: FrameType | None) -> None:
        recorder.request_stop()
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            print("\nStopping after this step, with a checkpoint. Ctrl-C again to end at once.", file=sys.stderr, flush=True)

    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main(arguments: list[str] | None = None, engine: Engine | None = None) -> int:
    """The worker process; its standard output and error are the run's log. Afterwards it starts the next run in the queue."""
    parser = argparse.ArgumentParser(prog="python -m workbench.worker", description="Do one claimed run. The job runner starts this.")
    parser.add_argument("run_id", help="id; a run that was claimed for this process")
    parser.add_argument("--store", type=Path, help="path; the store's SQLite file (default: the one in STILLHOUSE_HOME)")
    options = parser.parse_args(arguments)
    faulthandler.enable()
    try:
        store = Store(options.store)
        outcome = run_worker(options.run_id, store, engine)
        jobs.launch_next(store)
    except StoreError as error:
        print(error, flush=True)
        return NOT_MINE if isinstance(error, WrongStatus) else 1
    return 0 if outcome.error is None else 1


if __name__ == "__main__":
    raise SystemExit(main())
