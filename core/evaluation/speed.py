"""Paired speed of models: latency of one sequence on one thread, throughput of a batch on all threads.

Models are timed in one run, round by round: every round times each model once, in a newly drawn order, so that whatever else
the machine does falls on all of them alike. A ratio is taken within a round and its median over the rounds is reported,
with its bootstrap interval (`core.evaluation.statistics`).

    latency      seconds of one forward pass of 1 sequence, on 1 thread
    throughput   sequences a second in a forward pass of `batch` sequences, on all threads
    faster       latency of the first model / latency of this one

A pass is whatever the callable does: for a language model here, its whole forward pass with logits at every position
(`forward_of`). `core.evaluation.flops` predicts the ratio.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from core.evaluation.bootstrap import bootstrap_median
from core.evaluation.statistics import LEVEL, Estimate
from core.events import Phase
from core.recorder import ListRecorder, Recorder, StopRequested
from core.system.threads import torch_threads

if TYPE_CHECKING:
    from torch import Tensor

Forward = Callable[["Tensor", "Tensor"], object]  # (input_ids (B, T), attention_mask (B, T)) -> anything, once it is computed

LENGTH, BATCH = 128, 32  # positions; sequences at once for the throughput
MOST_ROUNDS, FEWEST_ROUNDS = 100, 5
WARM_UP = 3  # passes of each model that are not timed: memory is allocated and kernels are chosen in the first
SECONDS = 60.0


# Name in files and JSON since 0.1.0 -> attribute.
_ATTRIBUTES = {"faster": "latency_speedup", "more": "throughput_gain"}
_STORED = {attribute: name for name, attribute in _ATTRIBUTES.items()}


def stored_names(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return the fields of a dataclass under the names of files and JSON: a ``dict_factory`` of `dataclasses.asdict`."""
    return {_STORED.get(name, name): value for name, value in pairs}


@dataclass(frozen=True, slots=True)
class ModelSpeed:
    """The times of one model.

    Attributes:
        latency: seconds a sequence.
        throughput: sequences a second.
        latency_speedup: the first model's latency over this model's, round by round.
        throughput_gain: this model's throughput over the first model's, round by round.
    """

    latency: Estimate
    throughput: Estimate
    latency_speedup: Estimate
    throughput_gain: Estimate

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> ModelSpeed:
        """Return the times of the plain data that `dataclasses.asdict` gives with `stored_names`."""
        return cls(**{_ATTRIBUTES.get(key, key): _timing(value) for key, value in plain.items()})


def _timing(plain: Mapping[str, Any]) -> Estimate:
    """Return a stored interval; timings of releases up to 0.1.0, which name no method, were bootstrapped at 95% too."""
    old = "method" not in plain and plain["low"] is not None
    return Estimate.from_dict({**plain, "level": LEVEL, "method": "bootstrap", "over": "rounds"} if old else plain)


@dataclass(frozen=True, slots=True)
class Speed:
    """What one measurement found.

    Attributes:
        models: name -> its times; the first is the baseline of the others.
        length: positions of a sequence.
        batch: sequences at once for the throughput.
        threads: those of the throughput.
        rounds, batch_rounds: how often each was timed.
        processor: the machine's own name of it.
    """

    models: Mapping[str, ModelSpeed]
    length: int
    batch: int
    threads: int
    rounds: int
    batch_rounds: int
    processor: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that `from_dict` reads back."""
        return asdict(self, dict_factory=stored_names)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Speed:
        """Return the value of plain data, as `to_dict` wrote it."""
        return cls(**{**plain, "models": {name: ModelSpeed.from_dict(each) for name, each in plain["models"].items()}})


def measure_speed(models: Mapping[str, Forward], recorder: Recorder, *, vocabulary: int, length: int = LENGTH, batch: int = BATCH,
                  seconds: float = SECONDS, rounds: int = MOST_ROUNDS, batched: Mapping[str, Forward] | None = None,
                  seed: int = 0, clock: Callable[[], float] = time.perf_counter) -> Speed:
    """Time models beside each other on the processor.

    Args:
        models: name -> its forward pass; the first is the baseline of the others.
        recorder: gets ``phase`` twice, and is queried for a stop before every pass.
        vocabulary: token numbers are drawn below it.
        seconds: budget of all rounds; a few rounds are timed whatever it is, so that there is an interval.
        rounds: at most so many of each kind.
        batched: other passes for the throughput, where the number of threads is fixed when a model is loaded.
        clock: a monotonic clock, in seconds.

    Raises:
        StopRequested: the recorder requested a stop.
    """
    import torch

    from core.system.devices import devices

    if not models:
        raise ValueError("at least one model is timed")
    generator = torch.Generator().manual_seed(seed)
    threads = torch.get_num_threads()
    kinds = (("time one sequence", models, 1, 1), ("time a batch", batched or models, batch, threads))
    found: list[dict[str, list[float]]] = []
    for name, forwards, count, used in kinds:
        recorder.event(Phase(name, details={"models": list(models)}))
        input_ids = torch.randint(vocabulary, (count, length), generator=generator)
        with torch.inference_mode(), torch_threads(used):
            found.append(_rounds(forwards, (input_ids, torch.ones_like(input_ids)), seconds / len(kinds), rounds, recorder, generator,
                                 clock))
    one, many = found
    first = next(iter(models))
    speeds = {name: ModelSpeed(bootstrap_median(one[name]), bootstrap_median([batch / taken for taken in many[name]]),
                               bootstrap_median(_ratios(one[first], one[name])), bootstrap_median(_ratios(many[first], many[name])))
              for name in models}
    return Speed(speeds, length, batch, threads, len(one[first]), len(many[first]), devices()[-1].description)


def latencies(passes: Mapping[str, Callable[[], object]], recorder: Recorder, *, seconds: float = SECONDS, rounds: int = MOST_ROUNDS,
              clock: Callable[[], float] = time.perf_counter) -> dict[str, list[float]]:
    """Return the seconds of every pass of each by name, on one thread, timed round by round in a newly drawn order.

    Args:
        recorder: queried for a stop before every pass.
        seconds: budget of all rounds; a few are timed whatever it is.
        rounds: at most so many.
        clock: a monotonic clock, in seconds.

    Raises:
        StopRequested: the recorder requested a stop.
    """
    import torch

    named: dict[str, Forward] = {name: lambda *_, run=run: run() for name, run in passes.items()}
    nothing = torch.empty(0)
    with torch.inference_mode(), torch_threads(1):
        return _rounds(named, (nothing, nothing), seconds, rounds, recorder, torch.Generator().manual_seed(0), clock)


def quick_latencies(passes: Sequence[Callable[[], object]], seconds: float = 0.3, rounds: int = 15,
                    clock: Callable[[], float] = time.perf_counter) -> list[float]:
    """Return the median seconds of a pass of each, timed in turns on the threads that are set, for display beside an answer.

    Args:
        seconds: budget of all rounds; a few are timed whatever it is.
        clock: a monotonic clock, in seconds.
    """
    import torch

    named: dict[str, Forward] = {str(number): lambda *_, run=run: run() for number, run in enumerate(passes)}
    with torch.inference_mode():
        nothing = torch.empty(0)
        taken = _rounds(named, (nothing, nothing), seconds, rounds, ListRecorder(), torch.Generator().manual_seed(0), clock)
    return [median(each) for each in taken.values()]


def forward_of(model: Any) -> Forward:
    """Return the whole forward pass of a Transformers model, logits included and no cache kept: the cost of a text read at once."""
    options = {"use_cache": False} if "use_cache" in inspect.signature(model.forward).parameters else {}
    return lambda input_ids, attention_mask: model(input_ids=input_ids, attention_mask=attention_mask, **options)


def _rounds(models: Mapping[str, Forward], inputs: tuple[Tensor, Tensor], budget: float, most: int, recorder: Recorder,
            generator: Any, clock: Callable[[], float] = time.perf_counter) -> dict[str, list[float]]:
    """Return the seconds of each model's pass in each round, by name."""
    import torch

    def timed(name: str) -> float:
        if recorder.should_stop():
            raise StopRequested
        began = clock()
        models[name](*inputs)
        return clock() - began

    names = list(models)
    taken: dict[str, list[float]] = {name: [] for name in names}
    began = clock()
    for name in names:
        for _ in range(WARM_UP):
            timed(name)
            if clock() - began > budget / 4:  # a large model is warm after one long pass
                break
    for done in range(most):
        if done >= FEWEST_ROUNDS and clock() - began > budget:
            break
        for index in torch.randperm(len(names), generator=generator).tolist():
            taken[names[index]].append(timed(names[index]))
    return taken


def _ratios(first: Sequence[float], other: Sequence[float]) -> list[float]:
    return [before / after for before, after in zip(first, other, strict=True)]
