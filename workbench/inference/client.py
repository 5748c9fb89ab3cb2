"""Query models from the web process: a client of the one process per application in which models answer.

The web process never imports torch. The first question starts `workbench.inference.server`; when that process dies, from
lack of memory for instance, whoever waits for it gets a readable error and the next question starts a new one. Both sides
talk in lines of JSON over the server's standard input and output (`workbench.inference.wire`), so there is no port to guard, and
each side sees at once when the other is gone.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from core.config import DataSpec, ExperimentConfig, TaskSpec
from core.errors import StillhouseError
from core.models.dimensions import as_record
from core.system import machine, reach
from core.system.paths import SOURCE
from workbench import paths
from workbench.error_mapping import killed_error
from workbench.inference import wire
from workbench.inference.wire import Answer, Loaded, ModelCard, Note, Piece
from workbench.processes import detached, inherited
from workbench.store import Store, references

if TYPE_CHECKING:
    from core.chains.folder import Chain, Target
    from core.chains.on_demand import Method
    from core.models.checkpoints import Task

STOP_SECONDS = 2.0  # what the process gets to end by itself
# Turns for which a waiting thread of a model keeps its core. By default it does for milliseconds, which beside a training
# run on the same cores makes answers up to thirty times slower; with no turns at all a lone answer takes twice as long.
SPIN = "10000"
LARGEST_LOG = 1 << 20  # bytes; a longer one is truncated when the next process starts


class EngineLostError(StillhouseError):
    """The process in which models answer ended in the middle of something."""


class Engine:
    """One engine process, started when first needed and again after it died. Every method may be called from any thread.

    All methods raise what the engine raised, by its own class, and `EngineLostError`.

    Args:
        resolve: turns a reference as users write it, runs included, into one that `core.models.catalog` knows.
    """

    def __init__(self, resolve: Callable[[str], str]) -> None:
        self._resolve = resolve
        self._lock = threading.Lock()
        self._process: _Process | None = None
        self._closed = False

    def info(self, model: str, task: Task | None = None) -> ModelCard:
        """Load a model and return its card. Raises CompatibilityError if a task is named and its head is for another."""
        return ModelCard(**self._call("info", model=self._resolve(model), task=task))

    def generate(self, model: str, messages: Sequence[Mapping[str, str]], **sampling: float) -> Generation:
        """Answer a conversation; the answer is the iteration over what is returned.

        Args:
            sampling: the fields of `core.generation.streaming.Sampling`.
        """
        return Generation(self._ask("generate", model=self._resolve(model), messages=list(messages), sampling=sampling))

    def read(self, models: Sequence[str], sentences: Sequence[str], separator: str) -> Reading:
        """Let models note what they can of sentences; the notes are the iteration over what is returned.

        Args:
            separator: between a sentence and its notes, as the models were trained (``reading.separator``).
        """
        return Reading(self._ask("read", models=list(map(self._resolve, models)), sentences=list(sentences), separator=separator))

    def lens(self, teacher: str, student: str, messages: Sequence[Mapping[str, str]], answer: str) -> list[dict[str, Any]]:
        """`core.evaluation.token_divergence.compare_positions` as plain data."""
        return self._call("lens", teacher=self._resolve(teacher), student=self._resolve(student), messages=list(messages), answer=answer)

    def next_token_logits(self, model: str, prompt: str, count: int = 20) -> dict[str, Any]:
        """`core.evaluation.token_divergence.next_token_logits` as plain data: ``tokens`` (texts) and ``logits`` (all, falling)."""
        return self._call("next_token", model=self._resolve(model), prompt=prompt, count=count)

    def example(self, kind: str, text: str, models: Sequence[str], count: int = 20) -> dict[str, Any]:
        """`core.classification.examples.example_logits` of a teacher, and of a student where two are named, as plain data."""
        return self._call("example", kind=kind, text=text, models=list(map(self._resolve, models)), count=count)

    def opinions(self, folder: Path, text: str) -> dict[str, Any]:
        """`core.specialists.opinions.opinions_on` of the panel in a folder, as plain data."""
        return self._call("opinions", folder=str(folder), text=text)

    def blanks(self, models: Sequence[str], text: str, count: int = 10) -> dict[str, Any]:
        """Return the `count` most likely tokens of each blank of a text, by each masked model, the teacher first.

        Returns:
            blanks: `core.evaluation.blanks.compare_blanks` as plain data;
            seconds: what one answer takes each model, reading the text included.
        """
        return self._call("blanks", models=list(map(self._resolve, models)), text=text, count=count)

    def classes(self, models: Sequence[str], text: str, pair: str = "") -> dict[str, Any]:
        """Return the class probabilities of a text, or of a pair of texts, by each classifier.

        Returns:
            classes: for each model `core.evaluation.classes.class_probabilities` as plain data;
            seconds: as of `blanks`.
        """
        return self._call("classes", models=list(map(self._resolve, models)), text=text, pair=pair)

    def preview(self, data: DataSpec, model: str, rows: int = 5) -> dict[str, Any]:
        """`core.data.preview.preview` with the tokenizer of `model`."""
        return self._call("preview", data=data.model_dump(mode="json"), model=self._resolve(model), rows=rows)

    def preview_task(self, task: TaskSpec) -> dict[str, Any]:
        """`core.tasks.preview.preview_task`."""
        return self._call("preview_task", task=task.model_dump(mode="json"))

    def scan_dataset(self, data: DataSpec, model: str | None, seed: int) -> dict[str, Any]:
        """`workbench.inference.dataset_scan.scan_dataset`, with the tokenizer of `model` if one is named."""
        return self._call("scan_dataset", data=data.model_dump(mode="json"), model=model and self._resolve(model), seed=seed)

    def plan(self, config: ExperimentConfig, *, measure: bool) -> dict[str, Any]:
        """`core.planning.plan.plan` as plain data."""
        return self._call("plan", config=self._with_teacher(config).to_dict(), measure=measure)

    def step(self, config: ExperimentConfig, number: int) -> dict[str, Any]:
        """Return an optimiser step of a configuration's student, `core.methods.stepping.TrainingStep` as plain data."""
        return self._call("step", config=self._with_teacher(config).to_dict(), number=number)

    def _with_teacher(self, config: ExperimentConfig) -> ExperimentConfig:
        """Return the configuration with its teacher as the engine knows it."""
        if config.teacher is None:
            return config
        model = config.teacher.model if config.teacher.address is not None else self._resolve(config.teacher.model)
        return config.model_copy(update={"teacher": config.teacher.model_copy(update={"model": model})})

    def make_size(self, chain: Chain, target: Target, folder: Path, *, method: Method | None = None,
                  alpha: float | None = None) -> dict[str, Any]:
        """`core.chains.on_demand.create` without its measurements, as plain data; `folder` then holds the model."""
        return self._call("make_size", chain=_chain_record(chain), target=as_record(target), folder=str(folder), method=method, alpha=alpha)

    def measure_size(self, chain: Chain, target: Target, folder: Path) -> dict[str, float]:
        """Return the validation losses of a created model (``this``) and of its baselines; see `core.chains.on_demand.baseline_losses`."""
        return self._call("measure_size", chain=_chain_record(chain), target=as_record(target), folder=str(folder))

    def export(self, model: str, form: str, folder: Path) -> dict[str, Any]:
        """`core.export.exporting.export` as plain data; `folder` then holds the export."""
        return self._call("export", model=self._resolve(model), form=form, folder=str(folder), name=model)

    def release(self) -> None:
        """Unload the models without a request in progress, to free memory. Does not wait, starts nothing."""
        with self._lock:
            process = self._process
        if process is not None and process.alive:
            process.release()

    @property
    def pid(self) -> int | None:
        """The process that answers now, if there is one."""
        return self._process.pid if self._process is not None and self._process.alive else None

    def close(self) -> None:
        """End the process. Whoever waits for it gets `EngineLostError`, and nothing starts it again."""
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.end()

    def _call(self, op: str, **arguments: Any) -> Any:
        return next(message["value"] for message in self._ask(op, **arguments).messages())

    def _ask(self, op: str, **arguments: Any) -> _Request:
        return _Request(self._running(), op, arguments)

    def _running(self) -> _Process:
        with self._lock:
            if self._closed:
                raise EngineLostError("The application is ending.")
            if self._process is None or not self._process.alive:
                self._process = _Process()
            return self._process


class Generation:
    """An answer under way: `Loaded` once, `Piece` about twenty times a second, `Answer` at the end.

    Leaving the iteration early ends the generation too.
    """

    def __init__(self, request: _Request) -> None:
        self._request = request

    def __iter__(self) -> Iterator[Loaded | Piece | Answer]:
        return map(wire.read_generation, self._request.messages())

    def stop(self) -> None:
        """End it within a token, from any thread: the iteration continues to the `Answer`, which then is shorter."""
        self._request.cancel()


class Reading:
    """Notes under way, each as it is written, of all models in turn. Leaving the iteration early ends them too."""

    def __init__(self, request: _Request) -> None:
        self._request = request

    def __iter__(self) -> Iterator[Note]:
        return (wire.read_note(message) for message in self._request.messages() if message["kind"] == "note")

    def stop(self) -> None:
        """End it within a token, from any thread: the iteration ends."""
        self._request.cancel()


class _Request:
    """A request to an engine process, and the inbox for its messages."""

    def __init__(self, process: _Process, op: str, arguments: Mapping[str, Any]) -> None:
        self._process = process
        self._inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._held: dict[str, Any] | None = None  # read, not yet handed out
        self._number = process.send(op, arguments, self._inbox)

    def cancel(self) -> None:
        self._process.cancel(self._number)

    def messages(self) -> Iterator[dict[str, Any]]:
        """Every message to the last, once. Raises what the engine raised, or EngineLostError."""
        last = False
        try:
            while not last:
                message = self._take()
                last = message["kind"] in wire.LAST
                if message["kind"] == "error":
                    raise wire.read_error(message)
                if message["kind"] == "lost":
                    raise EngineLostError(*_exit_message(self._process.wait(), self._process.ended_for_memory))
                yield message
        finally:
            self._process.forget(self._number)
            if not last:
                self.cancel()

    def _take(self) -> dict[str, Any]:
        """Return the next message. A reader that lags behind gets fewer and longer pieces of an answer, not a longer lag."""
        message, self._held = self._held or self._inbox.get(), None
        while message["kind"] == "piece" and not self._inbox.empty():
            following = self._inbox.get()
            if following["kind"] != "piece":
                self._held = following
                break
            message = following | {"text": message["text"] + following["text"]}
        return message


class _Process:
    """A running server and the inboxes of those who wait for its messages."""

    def __init__(self) -> None:
        machine.require_room_for_libraries()
        # What visitors name is read there: the process has the limits of this one.
        limits = {name: os.environ[name] for name in (reach.VARIABLE,) if name in os.environ}
        environment = inherited() | limits | {"GOMP_SPINCOUNT": SPIN, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(SOURCE),
                                              "TQDM_DISABLE": "1"}
        self.ended_for_memory = machine.ended_for_memory()
        with _open_log() as log:
            self._popen = subprocess.Popen([sys.executable, "-m", "workbench.inference.server"], env=environment,
                                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                                           **detached())  # Ctrl-C is the application's; this ends with its pipe
        assert self._popen.stdin is not None and self._popen.stdout is not None  # both are pipes
        self._requests, self._messages = self._popen.stdin, self._popen.stdout
        self._write_lock, self._inbox_lock = threading.Lock(), threading.Lock()
        self._numbers = itertools.count(1)
        self._inboxes: dict[int, queue.SimpleQueue[dict[str, Any]]] = {}
        self.alive = True
        threading.Thread(target=self._read, name="engine messages", daemon=True).start()

    @property
    def pid(self) -> int:
        return self._popen.pid

    def send(self, op: str, arguments: Mapping[str, Any], inbox: queue.SimpleQueue[dict[str, Any]]) -> int:
        """Send a request, whose messages will arrive in the inbox; the last of them is ``lost`` if the process dies.

        Returns:
            The request's number, by which it is cancelled and forgotten.
        """
        number = next(self._numbers)
        with self._inbox_lock:
            self._inboxes[number] = inbox
            if not self.alive:
                inbox.put({"kind": "lost"})
        self._write({"id": number, "op": op, **arguments})
        return number

    def cancel(self, number: int) -> None:
        """Request the end of an answer."""
        self._write({"id": number, "op": "cancel"})

    def release(self) -> None:
        """Request that models that are not in use are dropped."""
        self._write({"id": 0, "op": "release"})

    def forget(self, number: int) -> None:
        """Drop an inbox."""
        with self._inbox_lock:
            self._inboxes.pop(number, None)

    def wait(self) -> int:
        """Return the exit status of a process that is gone, negative for a signal."""
        return self._popen.wait()

    def end(self) -> None:
        """End the process: answers under way have nobody to read them, and while it starts it would not see that its pipe is closed."""
        self._close_requests()
        self._popen.terminate()
        try:
            self._popen.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()

    def _write(self, request: dict[str, Any]) -> None:
        try:
            with self._write_lock:
                wire.send(self._requests, request)
        except (BrokenPipeError, ValueError):  # dead, or closed: the reading thread notifies everyone who waits
            logging.getLogger(__name__).info("The engine process %d takes no more requests.", self.pid)

    def _read(self) -> None:
        for message in wire.receive(self._messages):
            with self._inbox_lock:
                inbox = self._inboxes.get(message["id"])
            if inbox is not None:
                inbox.put(message)
        with self._inbox_lock:
            self.alive = False
            for inbox in self._inboxes.values():
                inbox.put({"kind": "lost"})
        self._popen.wait()
        self._messages.close()
        self._close_requests()

    def _close_requests(self) -> None:
        with self._write_lock, contextlib.suppress(BrokenPipeError):  # a request that a dead process did not take
            self._requests.close()


def _chain_record(chain: Chain) -> dict[str, str]:
    return {"path": str(chain.path), "name": chain.reference}


def _open_log() -> BinaryIO:
    path = paths.engine_log()
    path.parent.mkdir(parents=True, exist_ok=True)
    grown = path.exists() and path.stat().st_size > LARGEST_LOG
    return path.open("wb" if grown else "ab")


def _exit_message(status: int, since: int | None) -> tuple[str, str, str]:
    again = "Ask again: a new process starts by itself."
    if status == -signal.SIGKILL:
        killed = killed_error("The process that runs the models", f"Choose a smaller model or close other programs. {again}", since=since)
        return killed.given, killed.expected, killed.fix
    if status < 0:
        return (f"The process that runs the models was ended by the system ({signal.Signals(-status).name}).", "",
                f"{again} Its log is {paths.engine_log()}.")
    return (f"The process that runs the models ended unexpectedly (exit status {status}).", "", f"{again} Its log is {paths.engine_log()}.")


_lock = threading.Lock()
_engine: Engine | None = None


def engine() -> Engine:
    """Return the application's one engine; `close` ends it. Raises StoreError when the run store cannot be opened."""
    global _engine
    with _lock:
        if _engine is None:
            store = Store(paths.store_path())
            _engine = Engine(lambda reference: references.resolve(reference, store))
        return _engine


def release() -> None:
    """Have the application's engine give memory back, if there is one."""
    with _lock:
        current = _engine
    if current is not None:
        current.release()


def close() -> None:
    """End the application's engine, if there is one. Call it when the application ends."""
    with _lock:
        if _engine is not None:
            _engine.close()
