"""Where tensors live and in which format: the only file that knows one device from another."""

from __future__ import annotations

import errno
import functools
import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from core.errors import DeviceError, SetField
from core.system import machine, ranks
from core.system.units import GIB

if TYPE_CHECKING:
    import torch
    from transformers import TrainingArguments


# What an exception of a library says when memory was refused: torch's allocator on the processor, and on Windows; a file that cannot be
# mapped; CUDA; cuBLAS; onnxruntime.
REFUSED = ("can't allocate memory", "not enough memory: you tried to allocate", "Cannot allocate memory", "CUDA error: out of memory",
           "CUBLAS_STATUS_ALLOC_FAILED", "Failed to allocate memory", "bad_alloc")
# Exceptions of safetensors and onnxruntime, which are no RuntimeError. By name: whoever asks need not have imported the library.
NATIVE = ("SafetensorError", "RuntimeException", "Fail")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether the machine or the device had no memory left."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    kind = type(error).__name__
    return (isinstance(error, MemoryError) or kind == "OutOfMemoryError"
            or ((isinstance(error, RuntimeError) or kind in NATIVE) and any(words in str(error) for words in REFUSED)))


@dataclass(frozen=True, slots=True)
class Device:
    """One device of this machine.

    Attributes:
        name: what ``train.device`` accepts: cpu or cuda:N.
        description: the processor's or GPU's own name.
        memory_gib: all of its memory, in GiB.
        bf16: whether it computes bf16 natively.
    """

    name: str
    description: str
    memory_gib: float
    bf16: bool


def devices() -> list[Device]:
    """Return every device that a run can use, GPUs first."""
    import psutil
    import torch

    gpus = []
    for index in range(torch.cuda.device_count()):
        properties, device = torch.cuda.get_device_properties(index), torch.device("cuda", index)
        gpus.append(Device(str(device), properties.name, properties.total_memory / GIB, native_bf16(device)))
    processor = torch.cpu.get_capabilities().get("cpu_name") or platform.machine()
    return [*gpus, Device("cpu", processor, psutil.virtual_memory().total / GIB, native_bf16(torch.device("cpu")))]


def resolve_device(name: str) -> torch.device:
    """Return the device that a name stands for; ``auto`` is the first GPU, or the processor.

    Raises:
        DeviceError: not a device name, or a device that this machine does not have.
    """
    import torch

    count = torch.cuda.device_count()
    if name == "cpu" or (name == "auto" and count == 0):
        return torch.device("cpu")
    here = ["cpu", *(f"cuda:{index}" for index in range(count))]
    # Of processes that were started together each has its own GPU.
    index = str(ranks.local_rank()) if name in ("auto", "cuda") else name.removeprefix("cuda:")
    if f"cuda:{index}" not in here:
        raise DeviceError(f"The device '{name}' was requested.", f"This machine has: {', '.join(here)}.",
                          "Take the best one.", suggestion=SetField("train.device", "auto"))
    return torch.device("cuda", int(index))


def use_only(device: torch.device, arguments: TrainingArguments) -> None:
    """Make Trainer use this GPU and no other: by itself it takes the first one and spreads over all that it sees.

    Processes that train together have a device each already, and keep it.
    """
    import torch

    if device.type == "cuda" and arguments.world_size == 1:
        torch.cuda.set_device(device)
        arguments._setup_devices = arguments.distributed_state.device = device
        arguments._n_gpu = 1


def resolve_precision(name: Literal["auto", "fp32", "bf16"], device: torch.device) -> torch.dtype:
    """Return the format to compute in; ``auto`` is bf16 where the device computes it natively and is faster in it, fp32 elsewhere.

    GPUs with such instructions always are; a processor is measured, at its first use (`core.system.precision`).
    """
    import torch

    from core.system.precision import bf16_pays

    if name == "auto":
        name = "bf16" if native_bf16(device) and (device.type != "cpu" or bf16_pays()) else "fp32"
    return {"fp32": torch.float32, "bf16": torch.bfloat16}[name]


@functools.cache
def native_bf16(device: torch.device) -> bool:
    """Return whether bf16 arithmetic has instructions of its own there; emulated, it is several times slower than fp32."""
    import torch

    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))


def memory_in_use(device: torch.device) -> float:
    """Return the memory in GiB that is allocated on the GPU by this process, or this process's resident memory."""
    import psutil
    import torch

    if device.type == "cuda":
        return torch.cuda.memory_allocated(device) / GIB
    return psutil.Process().memory_info().rss / GIB


def memory_available(device: torch.device) -> float:
    """Return the GiB that can still be allocated on the device without swapping."""
    import torch

    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] / GIB
    return machine.memory_available() / GIB
