import errno
import os

import pytest
import torch
from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException
from safetensors import SafetensorError

from core.errors import DeviceError
from core.system import devices, precision

CPU = torch.device("cpu")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """Pretend a number of GPUs and a list of processor capabilities."""

    def pretend(gpus: int = 0, capabilities: tuple[str, ...] = ()) -> None:
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: dict.fromkeys(capabilities, True))
        devices.native_bf16.cache_clear()

    yield pretend
    devices.native_bf16.cache_clear()


def test_auto_takes_the_first_gpu_or_the_processor(machine) -> None:
    machine(gpus=0)
    assert devices.resolve_device("auto") == CPU
    machine(gpus=2)
    assert devices.resolve_device("auto") == torch.device("cuda", 0) == devices.resolve_device("cuda")
    assert devices.resolve_device("cuda:1") == torch.device("cuda", 1)
    assert devices.resolve_device("cpu") == CPU


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:x", "cuda:-1", "tpu", "", "0"])
def test_an_absent_device_is_refused_with_those_there(machine, name: str) -> None:
    machine(gpus=0)
    with pytest.raises(DeviceError, match="This machine has: cpu"):
        devices.resolve_device(name)


def test_precision_follows_the_processors_instructions_and_what_they_are_worth(machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "bf16_pays", lambda: True)
    machine(capabilities=("avx512_f",))
    assert devices.resolve_precision("auto", CPU) == torch.float32
    machine(capabilities=("avx512_f", "amx_bf16"))
    assert devices.resolve_precision("auto", CPU) == torch.bfloat16
    assert devices.resolve_precision("fp32", CPU) == torch.float32
    monkeypatch.setattr(precision, "bf16_pays", lambda: False)
    assert devices.resolve_precision("auto", CPU) == torch.float32
    assert devices.resolve_precision("bf16", CPU) == torch.bfloat16
    machine()
    assert devices.resolve_precision("bf16", CPU) == torch.bfloat16


def test_this_machine() -> None:
    here = devices.devices()
    assert here[-1].name == "cpu"
    assert here[-1].description
    assert here[-1].memory_gib > devices.memory_available(CPU) > 0
    before = devices.memory_in_use(CPU)
    held = torch.ones(2**26)  # 256 MiB
    assert devices.memory_in_use(CPU) - before == pytest.approx(0.25, abs=0.05)
    del held


@pytest.mark.parametrize(("error", "expected"), [
    (MemoryError(), True), (torch.OutOfMemoryError("CUDA out of memory"), True), (RuntimeError("CUDA error: out of memory"), True),
    (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
    (RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes"), True),
    (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 99 bytes"), True),
    (RuntimeError("unable to mmap 1258404080 bytes from file <model.safetensors>: Cannot allocate memory (12)"), True),
    (SafetensorError("Error while serializing: I/O error: Cannot allocate memory (os error 12)"), True),
    (RuntimeException("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Exception during initialization: std::bad_alloc"), True),
    (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), True), (OSError(errno.ENOENT, os.strerror(errno.ENOENT)), False),
    (SafetensorError("Error while deserializing header: invalid header"), False),
    (RuntimeError("CUDA error: device-side assert triggered"), False), (ValueError("can't allocate memory"), False)])
def test_running_out_of_memory_is_known_by_all_its_names(error, expected) -> None:
    assert devices.is_out_of_memory(error) == expected
