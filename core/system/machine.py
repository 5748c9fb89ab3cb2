"""What this machine has, found without importing torch: GPUs and memory."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

import psutil

from core.errors import OutOfMemoryError
from core.system.units import format_gib

VISIBLE = "CUDA_VISIBLE_DEVICES"
CGROUP = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")  # lines "number:controllers:path"; version 2 has no controllers
FILES_1 = "memory.limit_in_bytes", "memory.usage_in_bytes"
FILES_2 = "memory.max", "memory.current"
EVENTS = Path("/proc/vmstat")  # of the whole machine, lines "name number"


def visible_gpus(mask: str | None) -> list[str]:
    """Return the names in CUDA_VISIBLE_DEVICES of each GPU that a process with this value of it could use; None: it is not set."""
    if mask is None:
        return [str(number) for number in range(gpu_count())]
    listed = [entry.strip() for entry in mask.split(",")]
    # CUDA ignores everything from the first invalid entry on; "" and "-1" are the ways to say none.
    return listed[:next((i for i, entry in enumerate(listed) if entry in ("", "-1")), len(listed))]


@cache
def gpu_count() -> int:
    """Return the number of GPUs of the machine, whether this process may use them or not."""
    present = [path for path in Path("/dev").glob("nvidia*") if re.fullmatch(r"nvidia\d+", path.name)]
    if present:
        return len(present)
    nvidia_smi = shutil.which("nvidia-smi")  # Windows and WSL have no such device files
    if nvidia_smi is None:
        return 0
    try:
        listed = subprocess.run([nvidia_smi, "-L"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return 0
    return len(re.findall(r"^GPU \d+:", listed, re.MULTILINE))


def cores() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def process_count(processes: int | str, device: str, gpus: int) -> int:
    """Return how many processes a recipe starts on a machine.

    Args:
        processes, device: ``train.processes`` and ``train.device``.
        gpus: that a run may use.
    """
    if isinstance(processes, int):
        return processes
    return max(1, gpus) if device in ("auto", "cuda") else 1


def memory_available() -> int:
    """Return the bytes that can still be allocated without swapping: of the machine, its container or this process, what has least."""
    limits = [*_cgroup_memory(), *((each.limit, each.used) for each in process_limits())]
    return min([psutil.virtual_memory().available, *(max(0, limit - used) for limit, used in limits)])


def memory_total() -> int:
    """Return the bytes of this machine's memory."""
    return psutil.virtual_memory().total


def memory_limit() -> int | None:
    """Return the bytes that this process and those beside it in its container may use together; None where that is all of the machine."""
    limits = [limit for limit, _ in _cgroup_memory() if limit < memory_total()]
    return min(limits, default=None)


def ended_for_memory() -> int | None:
    """Return how many processes the system has ended for lack of memory since it was started; None where it does not say so."""
    try:
        found = re.search(r"^oom_kill (\d+)$", EVENTS.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) if found else None


@dataclass(frozen=True, slots=True)
class ProcessLimit:
    """What one process may allocate, as ``ulimit`` sets it. Processes that it starts have the same limit.

    Attributes:
        name: for people.
        limit, used: bytes.
        libraries: bytes that torch and Transformers take of it once they are imported, measured on two cores.
    """

    name: str
    limit: int
    used: int
    libraries: int


def process_limits() -> list[ProcessLimit]:
    """Return the limits of this process's memory; empty where it has none, and on systems that enforce none."""
    if sys.platform != "linux":
        return []
    import resource

    now = psutil.Process().memory_info()
    kinds = (("private memory (ulimit -d)", resource.RLIMIT_DATA, now.data, 2**29),
             ("address space (ulimit -v)", resource.RLIMIT_AS, now.vms, 5 * 2**28))
    return [ProcessLimit(name, soft, used, libraries) for name, number, used, libraries in kinds
            if (soft := resource.getrlimit(number)[0]) != resource.RLIM_INFINITY]


def require_room_for_libraries() -> None:
    """Refuse a process that could not even import torch: OpenBLAS, which comes with SciPy, asks for its memory forever.

    Raises:
        OutOfMemoryError: a limit below what the libraries take.
    """
    for each in process_limits():
        if each.limit < each.libraries:
            raise OutOfMemoryError(f"A process may use {format_gib(each.limit)} of {each.name}.",
                                   f"Without any model, torch and Transformers take about {format_gib(each.libraries)}.",
                                   "Raise that limit where Stillhouse is started, or remove it.")


def _cgroup_memory() -> list[tuple[int, int]]:
    """Limit and use in bytes, without the page cache that is given back first, of every control group around this process."""
    try:
        lines = OWN_CGROUP.read_text().splitlines()
    except OSError:
        return []
    found = []
    for _, controllers, path in (line.split(":", 2) for line in lines):
        if controllers and "memory" not in controllers.split(","):
            continue
        root, names, prefix = (CGROUP / "memory", FILES_1, "total_") if controllers else (CGROUP, FILES_2, "")
        group = PurePosixPath(path.lstrip("/"))
        for folder in (root / level for level in (group, *group.parents)):
            try:
                limit, used = (int((folder / name).read_text()) for name in names)  # not a number, "max", where there is none
                cached = re.search(rf"^{prefix}inactive_file (\d+)$", (folder / "memory.stat").read_text(), re.MULTILINE)
            except (OSError, ValueError):
                continue
            found.append((limit, used - int(cached[1]) if cached else used))
    return found
