"""The job runner: queued runs become detached processes, dead ones are noticed, living ones receive stop requests.

There is no daemon. Whoever looks, the app's `Runner` thread, a verb of the command line or a worker at its end, calls
`launch_next`; the store sees to it that each run is started once and that each device has one run at a time.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from core.config import ExperimentConfig
from core.recorder import STUDENT
from workbench import processes
from workbench.error_mapping import LESS_TO_TRAIN
from workbench.errors import HostError, StoreUnavailableError, WrongStatusError
from workbench.launch.job import FOLDER, Job
from workbench.launch.launcher import SlurmSpec, job_id_file
from workbench.processes import ENDED_SILENTLY, inherited, reaped, start_detached
from workbench.runs import submission
from workbench.runs.ready import ReadyWorker
from workbench.runs.recording import recover
from workbench.runs.slots import choose_slot, slot_environment, suitable
from workbench.store import Store, references
from workbench.store.named_files import files_of
from workbench.store.records import ACTIVE, Run

if TYPE_CHECKING:
    pass

LOGGER = logging.getLogger(__name__)
WORKER = (sys.executable, "-m", "workbench.runs.worker")
START_SECONDS = 60.0  # how long a launcher may take from claiming a run to naming its process
BEATS_SECONDS = 3.0  # in which a living worker writes more than once; see `workbench.runs.recording.FLUSH_SECONDS`
RESTARTED = "The machine was restarted while it ran."
SILENT_SECONDS = 60.0  # after this silence a worker on another boot or machine counts as gone


def submit(config: ExperimentConfig, store: Store, command: str | None = None, launch: SlurmSpec | None = None) -> Run:
    """Queue a new run and start it at once if its device is free, or submit it elsewhere.

    Args:
        command: the line that repeats it (default: one that names the recipe in the run's folder).
        launch: where it is carried out (default: in the queue of this machine).

    Raises:
        StillhouseError: it cannot work, as far as is known without loading anything; nothing is queued then.
    """
    config, parents, _ = submission.checked(config, store, launch)
    submission.require_ready(launch)
    run = store.create_run(config, command, parents, launch=launch.model_dump(mode="json") if launch is not None else None)
    launch_next(store)
    return store.run(run.id)


def submit_after(first: Run, config: ExperimentConfig, store: Store, command: str | None = None) -> Run:
    """Queue a new run whose teacher is the student of the queued run `first`; it waits until that one has finished.

    Args:
        config: with the teacher that `first` trains, whose shape the new one has: by it the recipe is checked.

    Raises:
        StillhouseError: as `submit`; `first` stays queued.
    """
    config, parents, _ = submission.checked(config, store)
    assert config.teacher is not None, "the teacher is what it waits for"
    parents = {reference: parent for reference, parent in parents.items() if reference != config.teacher.model}
    config = config.model_copy(update={"teacher": config.teacher.model_copy(update={"model": first.name})})
    run = store.create_run(config, command, parents | {first.name: f"{first.id}:{STUDENT}"})
    launch_next(store)
    return store.run(run.id)


def start_here(config: ExperimentConfig, store: Store, command: str | None = None) -> Run:
    """Claim a new run for this process, whatever else is running on its device. Raises as `submit` does."""
    config, parents, _ = submission.checked(config, store)
    return store.create_run(config, command, parents, device=choose_slot(config.train.device, (), config.train.processes))


def job_of(run: Run, store: Store) -> Job:
    """Return what other processes of a run are given. Raises ModelError where one of its models is not there."""
    return Job(run.directory, run.config, references.places(run.config, run.parents, store), run.command, files_of(run.config))


def resume(reference: str, store: Store) -> Run:
    """Queue a stopped, failed or lost run again, under the same id, from its last checkpoint. Raises WrongStatusError."""
    reconcile(store)
    run = store.requeue(reference)
    launch_next(store)
    return store.run(run.id)


def launch_next(store: Store) -> list[Run]:
    """Start queued runs, longest waiting first, for as long as there is one whose device is free."""
    reconcile(store)
    launched = []
    while run := store.claim_next(choose_slot, suitable):
        _spawn(run, store)
        launched.append(store.run(run.id))
    return launched


def reconcile(store: Store) -> list[Run]:
    """End runs whose process is gone, keeping everything that it logged. Cheap and safe to call at any time."""
    ended = []
    found = [(run, problem) for run in store.runs(status=ACTIVE) if (problem := _trouble(run)) is not None]
    if any(problem == RESTARTED for _run, problem in found):
        time.sleep(BEATS_SECONDS)
    for run, problem in found:
        if problem == RESTARTED and store.run(run.id).heartbeat != run.heartbeat:
            continue  # it lives elsewhere, and this clock was set forward: until its next beat it looked as if it had long been silent
        recover(store, run)
        hint = "Resume continues from the last checkpoint. The end of the log may say more."
        if problem == ENDED_SILENTLY:
            hint += f" If it says nothing, the system probably ended the process for lack of memory. {LESS_TO_TRAIN}"
        if run.launch is not None:
            hint = "The job itself may be under way; Resume looks after it again, or submits it from the last checkpoint."
        if store.finish(run.id, "lost", problem, hint, attempt=run.started):
            ended.append(store.run(run.id))
    return ended


def force_stop(reference: str, store: Store) -> Run:
    """End a run's process without waiting for its checkpoint; the run is then stopped and can be resumed. Raises WrongStatusError."""
    run = store.request_stop(reference)
    hint = "Resume continues from the last checkpoint."
    if (launcher := submission.launcher_of(run)) is not None and job_id_file(run.directory).is_file():
        try:
            launcher.cancel(job_id_file(run.directory).read_text().strip())
        except HostError as error:
            hint = f"Its job may still be under way: {error.given} Resume looks after it again."
    if run.process is not None:
        run.process.kill()
        if run.process.alive:
            raise WrongStatusError(f"The process of the run '{run.name}' (pid {run.process.pid}) does not end.", "",
                                   "It hangs in the operating system, as in a driver; wait, or restart the machine.")
    recover(store, run)
    store.finish(run.id, "stopped", f"Ended by force at step {run.progress.step}.", hint, attempt=run.started)
    return store.run(run.id)


def log_tail(run: Run, limit: int = processes.LOG_BYTES) -> str:
    """Return the last `limit` bytes of what the worker printed, as a terminal would show it, and what each of several processes did.

    Of a job of a cluster there is also what its shell and srun printed, as that it was preempted.
    """
    parts = [processes.log_tail(run.log_path, limit)]
    logs = sorted((run.directory / FOLDER).glob("[0-9]*.log"), key=lambda path: int(path.stem))
    parts += [f"--- process {path.stem} ---\n{text}" for path in logs if (text := processes.log_tail(path, limit // len(logs)))]
    parts += [f"--- job {path.name.partition('_')[0]} ---\n{text}" for path in sorted((run.directory / FOLDER).glob("*_log.out"))
              if (text := processes.log_tail(path, limit))]
    return "\n".join(filter(None, parts))


class Runner:
    """A thread that looks after the queue once a second for as long as the app runs. Runs outlive it.

    Args:
        begun: called with every run that was started, by whomever, while its worker is still loading.
        ready: keeps a worker waiting for the next run.
    """

    def __init__(self, store: Store, interval: float = 1.0, begun: Callable[[Run], None] | None = None,
                 ready: ReadyWorker | None = None) -> None:
        self._store, self._interval, self._begun, self.ready = store, interval, begun, ready
        self._known: set[tuple[str, float | None]] = set()  # attempts that `begun` was called with
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="job-runner", daemon=True)
        self.problem: Exception | None = None

    def start(self) -> None:
        """Begin to look after the queue."""
        global _runner
        _runner = self
        self._thread.start()

    def stop(self) -> None:
        """Stop looking after it; no process of a run is touched."""
        self._done.set()
        self._thread.join()
        if self.ready is not None:
            self.ready.close()

    def _watch(self) -> None:
        while True:
            try:
                launch_next(self._store)
                if self._begun is not None:
                    self._announce_new(self._begun)
                if self.ready is not None:
                    self.ready.tend(lambda: not self._store.runs(status=ACTIVE))
                self.problem = None
            except Exception as error:  # a full disk may have room again at the next look, and a queue that nobody minds is worse
                if str(error) != str(self.problem):
                    LOGGER.exception("The queue could not be looked after; trying again every %g s.", self._interval)
                self.problem = error
            if self._done.wait(self._interval):
                return

    def _announce_new(self, begun: Callable[[Run], None]) -> None:
        active = {(run.id, run.started): run for run in self._store.runs(status=ACTIVE)}
        for attempt in active.keys() - self._known:
            begun(active[attempt])
        self._known = set(active)


_runner: Runner | None = None


def queue_problem() -> Exception | None:
    """Why this process cannot look after the queue at the moment; None while it can, and where another process does."""
    return _runner.problem if _runner is not None else None


def _trouble(run: Run) -> str | None:
    """Why the process of an active run must be gone; None while it may be alive."""
    assert run.started is not None, f"{run.id} is {run.status} and has no start"  # it is written together with the status
    now = time.time()
    if run.process is None:
        # Not only later: a clock that was set back would have it hold its device until the clock has caught up.
        return "Its process was never started." if abs(now - run.started) > START_SECONDS else None
    if run.process.alive:
        return None
    if run.process.local:
        return ENDED_SILENTLY
    if abs(now - (run.heartbeat or run.started)) > SILENT_SECONDS:
        return RESTARTED
    return None


def ready_worker(store: Store, memory: int) -> ReadyWorker:
    """Return what keeps a worker of the processor ready for the store's next run, where so many bytes are free."""
    return ReadyWorker((*WORKER, "--wait"), _environment("auto", "cpu", store), memory, store.home / "ready-worker.log")


def _environment(requested: str, slot: str, store: Store) -> dict[str, str]:
    """Return the environment of a worker for a device."""
    return slot_environment(requested, slot, inherited()) | {"TQDM_DISABLE": "1", "STILLHOUSE_HOME": str(store.home)}


def _spawn(run: Run, store: Store) -> None:
    assert run.device is not None, f"{run.id} was not claimed for a device"
    environment = _environment(run.requested_device, run.device, store)
    ready = _runner.ready if _runner is not None and run.launch is None else None
    try:
        process = (ready.take(run.id, store.path, run.log_path, environment) if ready is not None else None) or start_detached(
            [*WORKER, run.id, "--store", str(store.path)], run.log_path, environment)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        store.finish(run.id, "failed", f"Its process could not be started: {reason}.", "Put that right, then resume.", attempt=run.started)
        raise StoreUnavailableError(f"The run '{run.name}' could not be started: {reason}.") from error
    with reaped(process) as own:
        store.note_launch(run.id, own)
