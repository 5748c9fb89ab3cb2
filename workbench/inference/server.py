"""The process in which models answer: `python -m workbench.inference.server`, started by `workbench.inference.engine_process`.

It reads requests from standard input and writes messages to standard output (`workbench.inference.wire`); standard error is its
log. One thread a request. It ends when its input does, that is, with the application, however that ends.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import torch

from core.chains.folder import Chain, Target, open_chain
from core.config import DataSpec, TaskSpec
from core.data.template_limits import stopped_by
from core.errors import StillhouseError
from core.evaluation.blanks import compare_blanks, fill_blanks
from core.evaluation.classes import class_probabilities
from core.evaluation.speed import quick_latencies
from core.evaluation.token_divergence import compare_positions, next_token_logits
from core.export import Form
from core.generation.streaming import stream
from core.models import catalog
from core.models.architectures import architecture_of
from core.models.checkpoints import Task
from core.models.compatibility import require_compatible, require_task
from core.models.dimensions import as_record
from core.models.entries import LoadedModel
from core.recipes import parse_recipe
from workbench import paths
from workbench.error_mapping import memory_error
from workbench.inference import wire
from workbench.inference.model_pool import ModelPool, free_memory
from workbench.inference.stepper_pool import StepperPool
from workbench.processes import offer_memory

if TYPE_CHECKING:
    from core.chains.on_demand import Method
    from core.classification.examples import ExampleKind

FLUSH_SECONDS = 0.05  # between two pieces of an answer: no eye sees more of them, and each costs both processes time
TIDY_SECONDS = 30.0  # between two looks for models and trainings that nobody uses
# Operations on models of the pool; the others load their own.
POOLED = ("info", "generate", "read", "lens", "next_token", "example", "blanks", "classes", "preview")

# Imported before the first request: two threads that import parts of Transformers at once break each other's imports.
BEFOREHAND = ("transformers.models.auto.modeling_auto", "core.chains.on_demand", "core.planning.dry_run", "core.methods.stepping")

Message = dict[str, Any]


# A smaller model's layers are done before a second thread has begun: two threads make it slower, idle machine or not.
SMALL = 20_000_000  # parameters


class Cores:
    """Divides the processor's cores among the answers under way: more threads than cores slow all of them down."""

    def __init__(self, cores: int) -> None:
        self._lock = threading.Lock()
        self._cores, self._answers = cores, 0

    @contextlib.contextmanager
    def share(self, parameters: int = SMALL) -> Iterator[Callable[[], None]]:
        """Take part with a model of that size, by default one that uses all it gets.

        The function it gives adjusts the calling thread's share: call it once a token.
        """
        with self._lock:
            self._answers += 1
        threads = 0

        def adjust() -> None:
            nonlocal threads
            share = 1 if parameters < SMALL else max(1, self._cores // self._answers)
            if share != threads:
                threads = share
                torch.set_num_threads(share)  # holds for the calling thread only

        adjust()
        try:
            yield adjust
        finally:
            with self._lock:
                self._answers -= 1


class Server:
    """Answers requests until its input ends."""

    def __init__(self, requests: BinaryIO, messages: BinaryIO) -> None:
        self._requests, self._messages_out = requests, messages
        self._write_lock = threading.Lock()
        self._pool, self._steppers, self._cores = ModelPool(), StepperPool(), Cores(torch.get_num_threads())
        # Held by exports and by trial steps of training: torch's exporter and its optimisers share a state of the process, and two
        # exports at once would spoil each other's times and need the memory of both.
        self._alone = threading.Lock()
        self._cancelled: dict[int, threading.Event] = {}
        self._operations: dict[str, Callable[..., Iterator[Message]]] = {
            "info": self._info, "generate": self._generate, "read": self._read, "lens": self._lens, "next_token": self._next_token,
            "blanks": self._blanks, "classes": self._classes, "example": self._example, "preview": self._preview,
            "preview_task": self._preview_task,
            "scan_dataset": self._scan_dataset, "opinions": self._opinions, "plan": self._plan, "make_size": self._make_size,
            "measure_size": self._measure_size, "export": self._export, "step": self._step}

    def serve(self) -> None:
        """Start a thread for every request; return when there can be no more."""
        threading.Thread(target=self._tidy, name="tidy", daemon=True).start()
        for request in wire.receive(self._requests):
            number, op = request.pop("id"), request.pop("op")
            if op == "cancel":
                self._cancelled.get(number, threading.Event()).set()  # it may have ended by now
                continue
            if op == "release":
                self._pool.drop_idle(0)
                self._steppers.drop_idle(0)
                continue
            self._cancelled[number] = threading.Event()
            threading.Thread(target=self._answer, args=(number, op, request), name=f"{op} {number}", daemon=True).start()

    def _answer(self, number: int, op: str, arguments: Message) -> None:
        # An unexpected exception also goes to the log; whoever waits gets this message.
        outcome = wire.write_error(StillhouseError(f"The engine failed at '{op}'.", "", f"Its log shows where: {paths.engine_log()}"))
        try:
            with stopped_by(self._cancelled[number].is_set):  # a model's chat template too
                for message in self._operations[op](self._cancelled[number], **arguments):
                    if message["kind"] in wire.LAST:
                        outcome = message
                    else:
                        self._send(number, message)
        except StillhouseError as error:
            outcome = wire.write_error(error)
        except Exception as error:  # libraries refuse by exceptions of their own, which have no common root
            refused = memory_error(error, "answer", "Choose a smaller model, compare fewer models, or close other programs.")
            if refused is None:
                raise
            outcome = wire.write_error(refused)
        finally:
            del self._cancelled[number]
            self._send(number, outcome)
        if op not in POOLED:
            free_memory()

    def _tidy(self) -> None:
        while True:
            time.sleep(TIDY_SECONDS)
            self._pool.drop_idle()
            self._steppers.drop_idle()

    def _send(self, number: int, message: Message) -> None:
        with self._write_lock:
            wire.send(self._messages_out, {"id": number, **message})

    # -------------------------------------------------------------------------------------------- operations

    def _info(self, _cancelled: threading.Event, model: str, task: Task | None) -> Iterator[Message]:
        with self._pool.using(model) as (loaded, card):
            if task is not None:
                require_task(loaded.entry, task)
            yield _value(asdict(card))

    def _generate(self, cancelled: threading.Event, model: str, messages: list[dict[str, str]],
                  sampling: dict[str, Any]) -> Iterator[Message]:
        with self._pool.using(model) as (loaded, card):
            require_task(loaded.entry, "causal")
            yield {"kind": "loaded", "card": asdict(card)}
            with self._cores.share(card.parameters) as adjust_threads:
                tokens = stream(loaded.model, loaded.tokenizer, messages, stop=cancelled.is_set, **sampling)
                pending, flushed = "", 0.0
                for token in tokens:
                    adjust_threads()
                    pending += token.text
                    # A piece without text too: the answer has begun, though no character of it is whole.
                    if time.perf_counter() - flushed >= FLUSH_SECONDS:
                        yield {"kind": "piece", "text": pending, "tokens": token.index + 1}
                        pending, flushed = "", time.perf_counter()
                yield {"kind": "answer", **asdict(tokens.result())}

    def _read(self, cancelled: threading.Event, models: list[str], sentences: list[str], separator: str) -> Iterator[Message]:
        from core.reading.together import live_notes

        with self._loaded(models, "causal") as loaded:
            readers = [live_notes(each.model, each.tokenizer, sentences, separator, cancelled.is_set) for each in loaded]
            for notes in zip(*readers, strict=False):  # side by side; one that is stopped ends all
                for reader, (sentence, behaviour, text) in enumerate(notes):
                    yield {"kind": "note", "reader": reader, "sentence": sentence, "behaviour": behaviour, "text": text}
            yield _value({"stopped": cancelled.is_set()})

    def _lens(self, _cancelled: threading.Event, teacher: str, student: str, messages: list[dict[str, str]],
              answer: str) -> Iterator[Message]:
        with self._pool.using(teacher) as (first, card), self._pool.using(student) as (second, _), self._cores.share(card.parameters):
            require_task(first.entry, "causal")
            require_task(second.entry, "causal")
            positions = compare_positions(first.model, second.model, first.tokenizer, messages, answer,
                                          vocabulary=require_compatible(first, second))
            yield _value([asdict(position) for position in positions])

    def _next_token(self, _cancelled: threading.Event, model: str, prompt: str, count: int) -> Iterator[Message]:
        with self._pool.using(model) as (loaded, card), self._cores.share(card.parameters):
            predicted = next_token_logits(loaded.model, loaded.tokenizer, prompt, count)
            yield _value({"tokens": predicted.tokens, "logits": [round(logit, 3) for logit in predicted.logits]})

    def _example(self, _cancelled: threading.Event, kind: ExampleKind, text: str, models: list[str], count: int) -> Iterator[Message]:
        from core.classification.examples import example_logits

        with contextlib.ExitStack() as stack:
            pooled = [stack.enter_context(self._pool.using(model)) for model in models]
            stack.enter_context(self._cores.share(max(card.parameters for _, card in pooled)))
            teacher, student = pooled[0][0], pooled[1][0] if len(pooled) > 1 else None
            yield _value(asdict(example_logits(kind, text, teacher, student, count)))

    def _opinions(self, _cancelled: threading.Event, folder: str, text: str) -> Iterator[Message]:
        from core.specialists.opinions import opinions_on

        with self._cores.share():
            yield _value(asdict(opinions_on(Path(folder), text)))

    def _blanks(self, _cancelled: threading.Event, models: list[str], text: str, count: int) -> Iterator[Message]:
        with self._loaded(models, "masked") as loaded:
            blanks = compare_blanks(loaded, text, count)
            passes = [partial(fill_blanks, each.model, each.tokenizer, text) for each in loaded]
            yield _value({"blanks": [asdict(blank) for blank in blanks], "seconds": quick_latencies(passes)})

    def _classes(self, _cancelled: threading.Event, models: list[str], text: str, pair: str) -> Iterator[Message]:
        with self._loaded(models, "classification") as loaded:
            passes = [partial(class_probabilities, each.model, each.tokenizer, text, pair) for each in loaded]
            classes = [[asdict(share) for share in run()] for run in passes]
            yield _value({"classes": classes, "seconds": quick_latencies(passes)})

    @contextlib.contextmanager
    def _loaded(self, models: list[str], task: Task) -> Iterator[list[LoadedModel]]:
        """Several models at once, none of which makes room for another. Raises CompatibilityError for one with another task."""
        with contextlib.ExitStack() as stack:
            pooled = [stack.enter_context(self._pool.using(model)) for model in models]
            for loaded, _ in pooled:
                require_task(loaded.entry, task)
            stack.enter_context(self._cores.share(max(card.parameters for _, card in pooled)))
            yield [loaded for loaded, _ in pooled]

    def _preview(self, _cancelled: threading.Event, data: dict[str, Any], model: str, rows: int) -> Iterator[Message]:
        from core.data.preview import preview

        with self._pool.using(model) as (loaded, _):
            objective = architecture_of(loaded.model.config).objective
            yield _value(preview(DataSpec.model_validate(data), loaded.tokenizer, rows, objective=objective))

    def _preview_task(self, _cancelled: threading.Event, task: dict[str, Any]) -> Iterator[Message]:
        from core.tasks.preview import preview_task

        yield _value(preview_task(TaskSpec.model_validate(task)))

    def _scan_dataset(self, _cancelled: threading.Event, data: dict[str, Any], model: str | None, seed: int) -> Iterator[Message]:
        from workbench.inference.dataset_scan import scan_dataset

        spec = DataSpec.model_validate(data)
        if model is None:
            yield _value(scan_dataset(spec, None, seed))
            return
        with self._pool.using(model) as (loaded, _):
            yield _value(scan_dataset(spec, loaded.tokenizer, seed, architecture_of(loaded.model.config).objective))

    def _plan(self, _cancelled: threading.Event, config: dict[str, Any], measure: bool) -> Iterator[Message]:
        from core.planning import plan

        with self._alone if measure else contextlib.nullcontext(), self._cores.share():
            yield _value(plan.plan(parse_recipe(config), measure=measure).to_dict())

    def _step(self, _cancelled: threading.Event, config: dict[str, Any], number: int) -> Iterator[Message]:
        with self._alone, self._cores.share():
            yield _value(asdict(self._steppers.step(parse_recipe(config), number)))

    def _make_size(self, _cancelled: threading.Event, chain: dict[str, str], target: dict[str, Any], folder: str,
                   method: Method | None, alpha: float | None) -> Iterator[Message]:
        from core.chains import on_demand

        with self._cores.share(target["parameters"]):
            made = on_demand.create(_chain(**chain), Target.from_dict(target), Path(folder), method=method, alpha=alpha, measure=False)
            yield _value(as_record(made))

    def _measure_size(self, _cancelled: threading.Event, chain: dict[str, str], target: dict[str, Any], folder: str) -> Iterator[Message]:
        from core.chains import on_demand

        opened, size = _chain(**chain), Target.from_dict(target)
        with self._cores.share(size.parameters):
            own = on_demand.loss_of(catalog.load(folder, dtype=torch.float32).model, opened)
            yield _value({"this": own, **on_demand.baseline_losses(opened, size, on_demand.load_anchor_pair(opened, size.larger_anchor))})

    def _export(self, _cancelled: threading.Event, model: str, form: Form, folder: str, name: str) -> Iterator[Message]:
        from core.export import exporting

        with self._alone, self._cores.share():
            yield _value(asdict(exporting.export(model, form, Path(folder), name=name)))


def _chain(path: str, name: str) -> Chain:
    """Return an opened chain under the name that users know it by."""
    return replace(open_chain(path), reference=name)


def _value(value: Any) -> Message:
    return {"kind": "value", "value": value}


def main() -> None:
    """Serve this process's standard input and output."""
    messages = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints belongs into the log
    offer_memory()
    for module in BEFOREHAND:
        importlib.import_module(module)
    Server(sys.stdin.buffer, messages).serve()
    os._exit(0)  # answers under way have nobody to read them


if __name__ == "__main__":
    main()
