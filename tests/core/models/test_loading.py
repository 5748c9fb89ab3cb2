"""Models are made and read one at a time, however many threads ask for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedModel

from core.errors import OutOfMemoryError
from core.models import catalog
from core.models.loading import model_from_config, model_from_pretrained
from core.system import machine
from tests.core.chat_models import save_chat_model
from tests.core.tiny import tiny_config, tiny_model

THREADS = 4


@pytest.fixture
def entered(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many threads were making a model whenever one began to."""
    seen, inside, make, guard = [], 0, LlamaForCausalLM.__init__, threading.Lock()

    def slowly(self: LlamaForCausalLM, *args: object, **options: object) -> None:
        nonlocal inside
        with guard:
            inside += 1
            seen.append(inside)
        time.sleep(0.05)  # long enough for the others to come in
        make(self, *args, **options)
        with guard:
            inside -= 1

    monkeypatch.setattr(PreTrainedModel, "tie_weights", PreTrainedModel.tie_weights)  # put right afterwards if this test fails
    monkeypatch.setattr(LlamaForCausalLM, "__init__", slowly)
    return seen


def at_once(*jobs: Callable[[], object]) -> list[object]:
    together = threading.Barrier(len(jobs))

    def run(job: Callable[[], object]) -> object:
        together.wait(10)
        return job()

    with ThreadPoolExecutor(len(jobs)) as threads:
        return list(threads.map(run, jobs))


def test_models_read_and_made_at_once_are_all_whole(entered: list[int], tmp_path: Path) -> None:
    config = tiny_config("llama", 2, True)
    tiny_model("llama", 2, True).save_pretrained(tmp_path)
    entered.clear()

    def read() -> tuple[PreTrainedModel, dict[str, set[str]]]:
        return model_from_pretrained(tmp_path, "causal", torch.float32, output_loading_info=True)

    def make() -> PreTrainedModel:
        return model_from_config(config, "causal", torch.bfloat16)

    found = at_once(read, make, read, make)

    assert entered == [1] * THREADS
    for model, report in (found[0], found[2]):
        assert not report["missing_keys"] and model.lm_head.weight is model.model.embed_tokens.weight
    for model in (found[1], found[3]):
        assert model.lm_head.weight is model.model.embed_tokens.weight and model.dtype == torch.bfloat16
    assert torch.get_default_dtype() == torch.float32


def test_a_seed_makes_the_same_weights_in_every_thread_and_touches_no_other_draw(entered: list[int]) -> None:
    config = tiny_config("llama", 2, True)
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    found = at_once(*(lambda seed=seed: model_from_config(config, "causal", torch.float32, seed) for seed in (3, 4, 3, 4)))
    first, second, third, fourth = (model.lm_head.weight for model in found)
    assert torch.equal(first, third) and torch.equal(second, fourth) and not torch.equal(first, second)
    assert torch.equal(torch.rand(3), expected)
    assert entered == [1] * THREADS


def test_weights_that_do_not_fit_are_refused_before_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_chat_model(tmp_path / "model")
    needed = 2 * catalog.describe(str(folder)).parameters
    monkeypatch.setattr(machine, "memory_limit", lambda: 2**30)
    monkeypatch.setattr(machine, "memory_available", lambda: needed)
    assert catalog.load(str(folder), dtype=torch.bfloat16).model.dtype == torch.bfloat16
    monkeypatch.setattr(machine, "memory_available", lambda: needed - 1)
    monkeypatch.setattr(catalog, "model_from_pretrained", lambda *_, **__: pytest.fail("it is read"))
    with pytest.raises(OutOfMemoryError, match=r"weights of .*model' take .* in bfloat16") as refused:
        catalog.load(str(folder), dtype=torch.bfloat16)
    assert "of the 1.0 GiB that may be used here are free on cpu" in refused.value.expected
    assert "smaller model" in refused.value.fix
