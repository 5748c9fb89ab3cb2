from __future__ import annotations

import os

import pytest

from core.system import machine as hardware
from workbench.runs.slots import choose_slot, slot_environment, visible_gpus


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine with two GPUs."""
    for variable in ("CUDA_VISIBLE_DEVICES", "STILLHOUSE_GPUS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(hardware, "gpu_count", lambda: 2)
    return monkeypatch


def test_an_open_choice_takes_the_first_free_gpu():
    assert choose_slot("auto", ()) == "cuda:0"
    assert choose_slot("auto", {"cuda:0"}) == "cuda:1"
    assert choose_slot("cuda", {"cuda:0"}) == "cuda:1"
    assert choose_slot("auto", {"cuda:0", "cuda:1"}) is None


def test_several_processes_take_as_many_gpus(machine: pytest.MonkeyPatch):
    assert choose_slot("auto", (), 2) == choose_slot("cuda", (), "auto") == "cuda:0,cuda:1"
    assert choose_slot("auto", {"cuda:1"}, 2) is None
    assert slot_environment("auto", "cuda:0,cuda:1", {})["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert choose_slot("cpu", (), 2) == "cpu"
    machine.setattr(hardware, "gpu_count", lambda: 0)
    assert choose_slot("auto", (), 2) == choose_slot("auto", (), "auto") == "cpu"


def test_a_named_device_waits_for_itself():
    assert choose_slot("cuda:1", {"cuda:0"}) == "cuda:1"
    assert choose_slot("cuda:1", {"cuda:1"}) is None
    assert choose_slot("cpu", {"cuda:0"}) == "cpu"


def test_without_gpus_an_open_choice_is_the_processor(machine: pytest.MonkeyPatch):
    machine.setattr(hardware, "gpu_count", lambda: 0)
    assert choose_slot("auto", ()) == "cpu"
    assert choose_slot("auto", {"cpu"}) is None
    assert choose_slot("cuda", ()) == "cuda:0", "the engine will say that there is none"
    assert "CUDA_VISIBLE_DEVICES" not in slot_environment("auto", "cpu", {})


def test_an_open_choice_sees_only_its_slot():
    assert slot_environment("auto", "cuda:1", {"HOME": "/"}) == {"HOME": "/", "CUDA_VISIBLE_DEVICES": "1", "STILLHOUSE_GPUS": "all"}
    assert "CUDA_VISIBLE_DEVICES" not in slot_environment("cuda:1", "cuda:1", {}), "it counts from the machine's first GPU"


@pytest.mark.parametrize(("variable", "gpus"), [("", []), ("-1", []), ("3", ["3"]), ("2, GPU-5ad1", ["2", "GPU-5ad1"]), ("1,-1,0", ["1"])])
def test_a_restriction_from_outside_is_kept(machine: pytest.MonkeyPatch, variable: str, gpus: list[str]):
    machine.setenv("CUDA_VISIBLE_DEVICES", variable)
    assert visible_gpus() == gpus
    slot = choose_slot("auto", ())
    assert slot == ("cuda:0" if gpus else "cpu")
    assert slot_environment("auto", slot, os.environ)["CUDA_VISIBLE_DEVICES"] == (gpus[0] if gpus else variable)


@pytest.mark.parametrize(("outside", "gpus"), [(None, ["0", "1"]), ("2,GPU-5ad1", ["2", "GPU-5ad1"])])
def test_a_worker_that_sees_one_gpu_gives_the_next_run_the_right_one(machine: pytest.MonkeyPatch, outside: str | None, gpus: list[str]):
    began = {} if outside is None else {"CUDA_VISIBLE_DEVICES": outside}
    first = slot_environment("auto", "cuda:1", began)
    assert first["CUDA_VISIBLE_DEVICES"] == gpus[1]
    for variable, value in first.items():
        machine.setenv(variable, value)
    assert visible_gpus() == gpus
    assert choose_slot("auto", {"cuda:0"}) == "cuda:1"
    assert slot_environment("auto", "cuda:0", os.environ)["CUDA_VISIBLE_DEVICES"] == gpus[0]
    assert slot_environment("cuda:0", "cuda:0", os.environ).get("CUDA_VISIBLE_DEVICES") == outside
    assert slot_environment("cpu", "cpu", first) == began | {"STILLHOUSE_GPUS": outside or "all"}
