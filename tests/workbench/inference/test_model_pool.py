"""Models in the engine process: which stay in memory and for how long, and what is handed back."""

from __future__ import annotations

import gc
import io
import json
import os
import weakref
from pathlib import Path

import pytest

from core.errors import OutOfMemoryError
from tests.core.chat_models import save_chat_model
from workbench.inference import model_pool, server
from workbench.inference.model_pool import IDLE_SECONDS, ModelPool
from workbench.inference.server import Server


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_chat_model(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture
def freed(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """One entry for every time that a GPU would have got its memory back."""
    import torch

    times: list[None] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: times.append(None))
    return times


def test_a_model_that_nobody_asks_goes_after_a_while(folder: str, freed: list[None], monkeypatch: pytest.MonkeyPatch) -> None:
    now, pool = 1000.0, ModelPool()
    monkeypatch.setattr(model_pool.time, "monotonic", lambda: now)
    with pool.using(folder) as (loaded, _):
        now += 2 * IDLE_SECONDS
        pool.drop_idle()
        kept = weakref.ref(loaded.model)
        del loaded
        gc.collect()
        assert kept() is not None, "a long answer is use"
    now += IDLE_SECONDS - 1
    pool.drop_idle()
    gc.collect()
    assert kept() is not None and not freed, "counted from the end of the answer"
    now += 1
    pool.drop_idle()
    assert kept() is None and len(freed) == 1


def test_all_that_nobody_uses_goes_at_once_when_a_run_begins(folder: str, freed: list[None], monkeypatch: pytest.MonkeyPatch) -> None:
    answering = Server(io.BytesIO(b'{"id": 0, "op": "release"}\n'), io.BytesIO())
    with answering._pool.using(folder):
        pass
    answering.serve()
    assert not answering._pool._models and len(freed) == 1


def test_a_plan_hands_its_memory_back(freed: list[None], monkeypatch: pytest.MonkeyPatch) -> None:
    messages = io.BytesIO()
    answering = Server(io.BytesIO(), messages)
    monkeypatch.setattr(answering, "_operations", {op: lambda _cancelled: iter([server._value(1)]) for op in ("plan", "info")})
    for op in ("plan", "info"):
        answering._cancelled[7] = server.threading.Event()
        answering._answer(7, op, {})
        assert json.loads(messages.getvalue().splitlines()[-1]) == {"id": 7, "kind": "value", "value": 1}
        assert len(freed) == 1, "a model of the pool stays where it is"


def test_an_ensemble_is_loaded_again_when_a_member_has_other_weights(folder: str, tmp_path: Path, freed: list[None]) -> None:
    other = save_chat_model(tmp_path / "other")
    pool, reference = ModelPool(), f"arithmetic({folder}, {other})"
    with pool.using(reference) as (first, card):
        assert card.parameters == 2 * first.model.members[0].num_parameters()
    with pool.using(reference) as (again, _):
        assert again is first
    weights = other / "model.safetensors"
    os.utime(weights, ns=(weights.stat().st_atime_ns, weights.stat().st_mtime_ns + 10**12))
    with pool.using(reference) as (reloaded, _):
        assert reloaded is not first


def test_weights_that_were_replaced_while_the_clock_was_behind_are_read(tmp_path: Path) -> None:
    pool = ModelPool()
    model = save_chat_model(tmp_path / "tiny")
    (model / "other.safetensors").write_bytes(b"")  # a newer file beside it
    os.utime(model / "other.safetensors", (2e9, 2e9))
    with pool.using(str(model)) as (before, _):
        pass
    os.utime(model / "model.safetensors", (1e9, 1e9))
    with pool.using(str(model)) as (after, _):
        assert after is not before


def test_what_is_kept_for_the_rest_of_the_machine_is_a_part_of_a_small_one(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container of 1 GiB half of it is free once the app and the libraries are there: enough for a small model."""
    monkeypatch.setattr(model_pool.machine, "memory_limit", lambda: 2**30)
    monkeypatch.setattr(model_pool.machine, "memory_available", lambda: 2**30 // 16 + 2**22)
    with ModelPool().using(folder) as (loaded, _):
        assert loaded.model.num_parameters() * 8 < 2**22
    monkeypatch.setattr(model_pool.machine, "memory_limit", lambda: None)
    monkeypatch.setattr(model_pool.machine, "memory_total", lambda: 2**34)
    with pytest.raises(OutOfMemoryError, match=r"needs about \d+ MiB of memory to answer\. 0 MiB can be used on cpu") as refused, \
            ModelPool().using(folder):
        pytest.fail("it is loaded")
    assert "smaller model" in refused.value.fix
