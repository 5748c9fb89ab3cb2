from __future__ import annotations

import pytest

from workbench import slots
from workbench.slots import choose_slot, slot_environment, visible_gpus


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine with two GPUs."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(slots, "_gpu_count", lambda: 2)
    return monkeypatch


def test_an_open_choice_takes_the_first_free_gpu():
    assert choose_slot("auto", ()) == "cuda:0"
    assert choose_slot("auto", {"cuda:0"}) == "cuda:1"
    assert choose_slot("cuda", {"cuda:0"}) == "cuda:1"
    assert choose_slot("auto", {"cuda:0", "cuda:1"}) is None


def test_a_named_device_waits_for_itself():
    assert choose_slot("cuda:1", {"cuda:0"}) == "cuda:1"
    assert choose_slot("cuda:1", {"cuda:1"}) is None
    assert choose_slot("cpu", {"cuda:0"}) == "cpu"


def test_without_gpus_an_open_choice_is_the_processor(machine: pytest.MonkeyPatch):
    machine.setattr(slots, "_gpu_count", lambda: 0)
    assert choose_slot("auto", ()) == "cpu"
    assert choose_slot("auto", {"cpu"}) is None
    assert choose_slot("cuda", ()) == "cuda:0", "the engine will say that there is none"
    assert slot_environment("auto", "cpu") == {}


def test_an_open_choice_sees_only_its_slot():
    assert slot_environment("auto", "cuda:1") == {"CUDA_VISIBLE_DEVICES": "1"}
    assert slot_environment("cuda:1", "cuda:1") == {}, "it counts from the machine's first GPU"


@pytest.mark.parametrize(("variable", "gpus"), [("", []), ("-1", []), ("3", ["3"]), ("2, GPU-5ad1", ["2", "GPU-5ad1"]), ("1,-1,0", ["1"])])
def test_a_restriction_from_outside_is_kept(machine: pytest.MonkeyPatch, variable: str, gpus: list[str]):
    machine.setenv("CUDA_VISIBLE_DEVICES", variable)
    assert visible_gpus() == gpus
    if gpus:
        assert slot_environment("auto", choose_slot("auto", ())) == {"CUDA_VISIBLE_DEVICES": gpus[0]}
    else:
        assert choose_slot("auto", ()) == "cpu"
