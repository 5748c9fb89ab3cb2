"""Trainings between two steps: taken up where they are, taken again for who is behind, and closed when nobody comes back."""

from __future__ import annotations

import gc
import io
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigError
from core.recipes import parse_recipe
from tests.core.chat_models import save_chat_model
from workbench.inference import stepper_pool
from workbench.inference.model_pool import IDLE_SECONDS
from workbench.inference.server import Server
from workbench.inference.stepper_pool import MOST_STEPPERS, StepperPool


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("steps")
    (folder / "text.txt").write_text("\n".join(f"The film number {number} was quite good, and then it was not." for number in range(60)))
    return {"teacher": {"model": str(save_chat_model(folder / "tiny", layers=4))}, "student": {"layers": 2},
            "data": {"source": str(folder / "text.txt"), "block_length": 16},
            "train": {"max_steps": 5, "per_device_train_batch_size": 2, "device": "cpu", "warmup_ratio": 0}}


def waiting_threads() -> int:
    return sum(thread.name == "stepper" for thread in threading.enumerate())


def test_steps_are_kept_between_calls_and_taken_again_for_who_is_behind(recipe: dict[str, Any]) -> None:
    pool, config = StepperPool(), parse_recipe(recipe)
    first, second = pool.step(config, 1), pool.step(config, 2)
    assert (first.number, second.number) == (1, 2) and first.loss != second.loss
    (held, _), = pool._waiting.values()
    assert pool.step(config, 3).number == 3 and [stepper for stepper, _ in pool._waiting.values()] == [held]
    again = pool.step(config, 2)  # somebody who is behind
    assert [again.loss, again.update, again.weights] == pytest.approx([second.loss, second.update, second.weights])
    assert again.after == pytest.approx(second.after) and again.text == second.text
    pool.drop_idle(0)
    assert not waiting_threads()


def test_the_training_that_was_not_used_for_longest_makes_room(recipe: dict[str, Any]) -> None:
    pool = StepperPool()
    configs = [parse_recipe({**recipe, "losses": {"temperature": 1.0 + number}}) for number in range(MOST_STEPPERS + 1)]
    for config in configs[:-1]:
        pool.step(config, 1)
    pool.step(configs[0], 2)
    pool.step(configs[-1], 1)
    assert list(pool._waiting) == [config.digest() for config in (*configs[2:-1], configs[0], configs[-1])]
    assert waiting_threads() == MOST_STEPPERS
    with pytest.raises(ConfigError, match="All 5 steps were taken"):
        pool.step(configs[0], 6)
    assert list(pool._waiting) == [config.digest() for config in (*configs[2:-1], configs[-1])], "what failed is closed"
    pool.drop_idle(0)
    assert not pool._waiting and not waiting_threads()


def test_a_training_to_which_nobody_comes_back_is_closed_after_a_while(recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    now, pool, config = 1000.0, StepperPool(), parse_recipe(recipe)
    monkeypatch.setattr(stepper_pool.time, "monotonic", lambda: now)
    first = pool.step(config, 1)
    (held, _), = pool._waiting.values()
    student, folder = weakref.ref(held._trainer.model), Path(held._folder.name)
    del held
    now += IDLE_SECONDS - 1
    pool.drop_idle()
    assert pool._waiting and folder.is_dir()
    now += 1
    pool.drop_idle()
    gc.collect()
    assert not pool._waiting and not waiting_threads() and not folder.exists()
    assert student() is None, "its memory is free"
    assert pool.step(config, 2).number == 2 and first.number == 1, "whoever does come back is taken to the next step"
    pool.drop_idle(0)


def test_trainings_go_at_once_when_a_run_begins(recipe: dict[str, Any]) -> None:
    answering = Server(io.BytesIO(b'{"id": 0, "op": "release"}\n'), io.BytesIO())
    message, = answering._step(threading.Event(), recipe, 1)
    assert message["kind"] == "value" and message["value"]["number"] == 1
    assert waiting_threads() == 1
    answering.serve()
    assert not answering._steppers._waiting and not waiting_threads()
