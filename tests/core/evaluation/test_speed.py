"""Times of callables whose times are known, and of models whose operations are counted."""

from __future__ import annotations

import json
import random
import time

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM

from core.evaluation import speed
from core.evaluation.flops import forward_flops
from core.evaluation.speed import Speed, forward_of, measure_speed, quick_latencies
from core.events import Phase
from core.models.header import ModelHeader
from core.recorder import ListRecorder, StopRequested
from core.system.threads import torch_threads
from tests.core.tiny import tiny_model


class Clock:
    """A clock that work moves on, by a tenth more or less than it should."""

    now = 0.0

    def __init__(self) -> None:
        self.uneven = random.Random(0)

    def __call__(self) -> float:
        return self.now

    def work(self, seconds: float) -> None:
        self.now += seconds * self.uneven.uniform(0.9, 1.1)


def working(seconds: float, calls: list[tuple[str, tuple[int, ...], int]], name: str, clock: Clock):
    def forward(input_ids, attention_mask):
        calls.append((name, tuple(input_ids.shape), torch.get_num_threads()))
        assert attention_mask.shape == input_ids.shape and attention_mask.min() == 1
        clock.work(seconds)
    return forward


def measured(calls: list, recorder: ListRecorder, rounds: int = 6, budget: float = 60.0) -> Speed:
    clock = Clock()
    models = {"teacher": working(0.03, calls, "teacher", clock), "student": working(0.01, calls, "student", clock)}
    return measure_speed(models, recorder, vocabulary=50, length=16, batch=8, rounds=rounds, seconds=budget, clock=clock)


def test_known_times_are_found() -> None:
    calls, recorder = [], ListRecorder()
    found = measured(calls, recorder)
    teacher, student = found.models["teacher"], found.models["student"]
    assert teacher.latency.value == pytest.approx(0.03, rel=0.1) and student.latency.value == pytest.approx(0.01, rel=0.1)
    speedup = student.latency_speedup
    assert speedup.value == pytest.approx(3, rel=0.2) and speedup.low <= speedup.value <= speedup.high
    assert student.throughput.value == pytest.approx(8 / 0.01, rel=0.1) and student.throughput_gain.value == pytest.approx(3, rel=0.2)
    assert teacher.latency_speedup.value == teacher.latency_speedup.low == teacher.throughput_gain.high == 1
    assert (found.rounds, found.batch_rounds, found.length, found.batch) == (6, 6, 16, 8)
    assert [phase.name for phase in recorder.of(Phase)] == ["time one sequence", "time a batch"]
    assert Speed.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_models_take_turns_in_an_order_drawn_for_every_round() -> None:
    calls: list = []
    measured(calls, ListRecorder(), rounds=20)
    timed = [name for name, shape, _ in calls if shape == (1, 16)][2 * speed.WARM_UP:]
    pairs = [tuple(timed[start:start + 2]) for start in range(0, len(timed), 2)]
    assert len(pairs) == 20 and all(sorted(pair) == ["student", "teacher"] for pair in pairs)
    assert len(set(pairs)) == 2, "both orders occur"


def test_one_sequence_has_one_thread_and_many_have_all_that_there_were() -> None:
    calls: list = []
    with torch_threads(2):
        found = measured(calls, ListRecorder())
        assert torch.get_num_threads() == 2
    assert {threads for _, shape, threads in calls if shape == (1, 16)} == {1}
    assert {threads for _, shape, threads in calls if shape == (8, 16)} == {2} and found.threads == 2


def test_threads_come_back_after_a_failure() -> None:
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError), torch_threads(before + 1):
        raise RuntimeError
    assert torch.get_num_threads() == before


def test_the_budget_ends_it_after_a_few_rounds() -> None:
    found = measured([], ListRecorder(), rounds=10_000, budget=0.1)
    assert (found.rounds, found.batch_rounds) == (speed.FEWEST_ROUNDS, speed.FEWEST_ROUNDS)


def test_a_stop_is_heard_before_the_next_pass() -> None:
    class Impatient(ListRecorder):
        def should_stop(self) -> bool:
            return len(calls) >= 9

    calls: list = []
    with pytest.raises(StopRequested):
        measured(calls, Impatient())
    assert len(calls) == 9


def test_other_passes_may_stand_in_for_the_batch() -> None:
    calls: list = []
    clock = Clock()
    measure_speed({"a": working(1, calls, "one", clock)}, ListRecorder(), vocabulary=9, length=4, batch=3, rounds=5,
                  batched={"a": working(1, calls, "many", clock)}, clock=clock)
    assert {(name, shape) for name, shape, _ in calls} == {("one", (1, 4)), ("many", (3, 4))}


def test_quick_latencies_are_medians_of_a_few_passes_timed_in_turn() -> None:
    calls: list[str] = []
    now = 0.0

    def passing(name: str, seconds: float):
        def run() -> None:
            nonlocal now
            calls.append(name)
            now += seconds * (20 if len(calls) == 9 else 1)  # one pass that something else held up
        return run

    slow, quick = quick_latencies([passing("slow", 0.02), passing("quick", 0.004)], seconds=0, clock=lambda: now)
    assert slow == pytest.approx(0.02) and quick == pytest.approx(0.004)
    assert calls.count("slow") == calls.count("quick") == 1 + speed.FEWEST_ROUNDS, "one pass to warm up, whatever the budget"


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_a_causal_pass_gives_all_logits_and_keeps_no_cache(name: str) -> None:
    output = forward_of(tiny_model(name))(torch.randint(2, 90, (2, 7)), torch.ones(2, 7, dtype=torch.long))
    assert output.logits.shape[:2] == (2, 7) and output.past_key_values is None


def test_the_measured_ratio_is_the_one_that_operations_predict() -> None:
    """DistilBERT's claim A4 with encoders large enough for matrix products to fill the time; the rule is 15%. The clock is that of this
    thread, which stands while other processes have the core."""
    def encoder(layers: int) -> BertForMaskedLM:
        return BertForMaskedLM(BertConfig(vocab_size=4000, hidden_size=384, num_hidden_layers=layers, num_attention_heads=6,
                                          intermediate_size=1536, max_position_embeddings=128)).eval()

    models = {"teacher": encoder(8), "student": encoder(4)}
    flops = {name: forward_flops(ModelHeader(model.config.to_dict() | {"architectures": ["BertForMaskedLM"]},
                                         {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}, 0), length=128).total
             for name, model in models.items()}
    found = measure_speed({name: forward_of(model) for name, model in models.items()}, ListRecorder(), vocabulary=4000, batch=1,
                          seconds=8, rounds=25, clock=time.thread_time)
    assert found.models["student"].latency_speedup.value == pytest.approx(flops["teacher"] / flops["student"], rel=0.15)
