from types import SimpleNamespace

import pytest

from core.config import DataSpec, ScratchSpec
from core.data import sources
from core.errors import ConfigError, DataError, DeviceError, DiskFullError, OutOfMemoryError, SetField
from core.methods import room
from core.models import compatibility
from core.planning import memory, preflight
from core.planning.preflight import PreflightReport
from core.recipes import parse_recipe
from core.system import machine


def experiment(**train: int):
    return parse_recipe({"train": train})


SHAPE = memory.shape_from_scratch(ScratchSpec())


def test_outcomes_keep_their_order_and_the_latest_counts():
    found = PreflightReport()
    assert found.take("first", lambda: 3, lambda count: f"{count} blocks") == 3
    assert found.take("second", lambda: compatibility.require_block_length_fits(DataSpec(block_length=64), 32)) is None
    assert not found.hold
    found.tell("first", "four blocks")
    failed = found.by_name["second"]
    assert [check.name for check in found.by_name.values()] == ["first", "second"]
    assert found.by_name["first"].message == "four blocks"
    assert (failed.ok, failed.fix) == (False, "Set data.block_length to 32 or less.")
    assert "64" in failed.message
    assert "32" in failed.message


def test_a_programming_error_is_not_a_failed_check():
    with pytest.raises(ZeroDivisionError):
        PreflightReport().take("any", lambda: 1 / 0)


def test_sources_are_looked_at_without_network_or_long_reading(tmp_path):
    good, empty = tmp_path / "good.jsonl", tmp_path / "empty.txt"
    good.write_text('{"prompt": "a", "completion": "b"}\n')
    empty.write_text("")
    assert "prompt, completion" in preflight.require_source(DataSpec(source=str(good)))
    assert "hub" in preflight.require_source(DataSpec(source="somebody/reviews"))
    assert "house" in preflight.require_source(DataSpec())
    for bad in (empty, tmp_path / "absent.txt", tmp_path / "picture.png"):
        with pytest.raises(DataError):
            preflight.require_source(DataSpec(source=str(bad)))


def test_a_stream_needs_a_limit():
    with pytest.raises(DataError, match="max_rows"):
        preflight.require_source(DataSpec(source="somebody/web", streaming=True))
    with pytest.raises(DataError, match="max_rows"):
        next(sources.rows(DataSpec(source="somebody/web", streaming=True), "train"))
    assert preflight.require_source(DataSpec(source="somebody/web", streaming=True, max_rows=100))


def test_devices_are_those_that_the_system_lists(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(machine, "gpu_count", lambda: 2)
    assert [preflight.require_device(name) for name in ("auto", "cuda", "cuda:1", "cpu")] == ["cuda:0", "cuda:0", "cuda:1", "cpu"]
    with pytest.raises(DeviceError, match="This machine has: cpu, cuda:0, cuda:1"):
        preflight.require_device("cuda:2")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    with pytest.raises(DeviceError, match="This machine has: cpu, cuda:0"):
        preflight.require_device("cuda:1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert preflight.require_device("auto") == "cpu"
    with pytest.raises(DeviceError):
        preflight.require_device("cuda")


def test_trackers_are_installed(monkeypatch):
    there = {"wandb"}
    monkeypatch.setattr(preflight.importlib.util, "find_spec", lambda name: name in there or None)
    assert preflight.require_trackers(("wandb",)) == "Also reports to wandb."
    with pytest.raises(ConfigError, match="pip install mlflow"):
        preflight.require_trackers(("wandb", "mlflow"))


def test_disk(monkeypatch, home):
    assert not home.exists()
    monkeypatch.setattr(room.shutil, "disk_usage", lambda folder: SimpleNamespace(free=2**30))
    assert preflight.require_disk(2**30) == "1.0 GiB at most for checkpoints and models; 1.0 GiB are free."
    with pytest.raises(DiskFullError, match="STILLHOUSE_HOME"):
        preflight.require_disk(2**30 + 1)


def test_memory_that_does_not_fit_says_which_batch_would():
    config = experiment(per_device_train_batch_size=32, gradient_accumulation_steps=3)
    needed = memory.memory(config, SHAPE, SHAPE, 4).total
    assert preflight.require_memory(config, SHAPE, SHAPE, 4, needed)
    enough = memory.memory(experiment(per_device_train_batch_size=8), SHAPE, SHAPE, 4).total
    with pytest.raises(OutOfMemoryError) as error:
        preflight.require_memory(config, SHAPE, SHAPE, 4, enough)
    assert "train.per_device_train_batch_size to 8 and train.gradient_accumulation_steps to 12" in error.value.fix
    with pytest.raises(OutOfMemoryError) as error:
        preflight.require_memory(config, SHAPE, SHAPE, 4, memory.PROGRAM)
    assert error.value.field is None, "no batch is small enough"
    with pytest.raises(OutOfMemoryError, match="The program itself takes 768 MiB of it: close other programs") as little:
        preflight.require_memory(config, SHAPE, SHAPE, 4, memory.PROGRAM - 1)
    assert little.value.field is None
    assert "smaller teacher" in error.value.fix


@pytest.mark.parametrize(("gpus", "train", "outcome"), [
    (0, {"processes": 2, "device": "cpu"}, "2 processes share each step, on 4 cores"),
    (0, {"processes": 5, "device": "cpu"}, "train.processes is 5, and there are 4 cores."),
    (2, {"processes": 2}, "2 processes share each step, on 2 GPUs"),
    (2, {"processes": "auto"}, "2 processes share each step, on 2 GPUs"),
    (0, {"processes": "auto"}, "One process trains"),
    (1, {"processes": 2}, "train.processes is 2, and there is 1 GPU."),
    (2, {"processes": 2, "device": "cuda:1"}, "names one GPU, cuda:1"),
    (0, {"processes": 3, "device": "cpu", "per_device_train_batch_size": 1, "gradient_accumulation_steps": 2}, "a step has 2 items"),
])
def test_processes_need_a_device_or_a_core_and_an_item_each(monkeypatch, gpus, train, outcome):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(machine, "gpu_count", lambda: gpus)
    monkeypatch.setattr(machine, "cores", lambda: 4)
    spec = experiment(**train).train
    try:
        said = preflight.require_processes(spec)
    except (ConfigError, DeviceError) as error:
        said = error.given
    assert outcome in said


@pytest.mark.parametrize(("gpus", "train", "outcome"), [
    (2, {"processes": 2, "sharding": "teacher"}, (True, "Each of 2 processes holds a part of each block of the teacher")),
    (2, {"processes": "auto", "sharding": "both"}, (True, "Each of 2 processes holds a part of each block of every model")),
    (1, {"processes": "auto", "sharding": "both"}, (False, "train.sharding is both, and there is one process.")),
    (0, {"sharding": "teacher"}, (False, "train.sharding is teacher, and there is one process."))])
def test_weights_are_shared_out_among_several_processes(monkeypatch, gpus, train, outcome):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(machine, "gpu_count", lambda: gpus)
    found = preflight.PreflightReport()
    preflight.check_processes(found, experiment(**train).train)
    check = found.by_name["sharding"]
    assert (check.ok, check.message[:len(outcome[1])]) == outcome
    assert check.ok or check.suggestion == SetField("train.sharding", "none")


@pytest.mark.parametrize("on_gpu", [True, False])
def test_a_process_holds_a_part_of_the_blocks_that_are_shared_out(on_gpu):
    def held(sharding: str, count: int) -> memory.Memory:
        return memory.memory(experiment(sharding=sharding), SHAPE, SHAPE, 4, on_gpu=on_gpu, processes=count)

    blocks, copies = SHAPE.counts.blocks, 1 if on_gpu else 4
    part = -(-sum(blocks) // 4) + max(blocks) + SHAPE.parameters - sum(blocks)
    whole, teacher, both = held("none", 4), held("teacher", 4), held("both", 4)
    assert whole.teacher == copies * 4 * SHAPE.parameters and teacher.teacher == both.teacher == copies * 4 * part
    assert (teacher.student, teacher.gradients, teacher.optimiser) == (whole.student, whole.gradients, whole.optimiser)
    assert both.gradients == copies * 4 * part and both.student == copies * 4 * (part + SHAPE.parameters)
    assert both.optimiser == copies * -(-8 * SHAPE.parameters // 4)
    assert held("both", 1) == held("none", 1)


def test_processes_share_the_memory_of_a_step(monkeypatch):
    monkeypatch.setattr(machine, "gpu_count", lambda: 2)
    alone, shared = ({gpu: memory.memory(experiment(), SHAPE, SHAPE, 4, on_gpu=gpu, processes=count) for gpu in (True, False)}
                     for count in (1, 2))
    assert shared[True].activations < 0.6 * alone[True].activations and shared[True].optimiser == alone[True].optimiser
    assert shared[False].optimiser == 2 * alone[False].optimiser, "the processor's memory holds every process's"
