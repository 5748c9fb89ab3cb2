"""Query models from the web process: a client of the one process per application in which models answer.

The web process never imports torch. The first question starts a process (`workbench.inference.engine_process`); when that dies,
from lack of memory for instance, whoever waits for it gets a readable error and the next question starts a new one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config import DataSpec, ExperimentConfig, TaskSpec
from core.models.dimensions import as_record
from workbench import paths
from workbench.inference import wire
from workbench.inference.engine_process import EngineLostError, EngineProcess, Request
from workbench.inference.wire import Answer, Loaded, ModelCard, Note, Piece
from workbench.store import Store, references

if TYPE_CHECKING:
    from core.chains.folder import Chain, Target
    from core.chains.on_demand import Method
    from core.models.checkpoints import Task

class Engine:
    """One engine process, started when first needed and again after it died. Every method may be called from any thread.

    All methods raise what the engine raised, by its own class, and `EngineLostError`.

    Args:
        resolve: turns a reference as users write it, runs included, into one that `core.models.catalog` knows.
    """

    def __init__(self, resolve: Callable[[str], str]) -> None:
        self._resolve = resolve
        self._lock = threading.Lock()
        self._process: EngineProcess | None = None
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

    def _ask(self, op: str, **arguments: Any) -> Request:
        return Request(self._running(), op, arguments)

    def _running(self) -> EngineProcess:
        with self._lock:
            if self._closed:
                raise EngineLostError("The application is ending.")
            if self._process is None or not self._process.alive:
                self._process = EngineProcess()
            return self._process


class Generation:
    """An answer under way: `Loaded` once, `Piece` about twenty times a second, `Answer` at the end.

    Leaving the iteration early ends the generation too.
    """

    def __init__(self, request: Request) -> None:
        self._request = request

    def __iter__(self) -> Iterator[Loaded | Piece | Answer]:
        return map(wire.read_generation, self._request.messages())

    def stop(self) -> None:
        """End it within a token, from any thread: the iteration continues to the `Answer`, which then is shorter."""
        self._request.cancel()


class Reading:
    """Notes under way, each as it is written, of all models in turn. Leaving the iteration early ends them too."""

    def __init__(self, request: Request) -> None:
        self._request = request

    def __iter__(self) -> Iterator[Note]:
        return (wire.read_note(message) for message in self._request.messages() if message["kind"] == "note")

    def stop(self) -> None:
        """End it within a token, from any thread: the iteration ends."""
        self._request.cancel()


def _chain_record(chain: Chain) -> dict[str, str]:
    return {"path": str(chain.path), "name": chain.reference}


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
