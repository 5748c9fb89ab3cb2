"""What this machine has, found without importing torch: GPUs and memory."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path, PurePosixPath

import psutil

VISIBLE = "CUDA_VISIBLE_DEVICES"
CGROUP = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")  # lines "number:controllers:path"; version 2 has no controllers
FILES_1 = "memory.limit_in_bytes", "memory.usage_in_bytes"
FILES_2 = "memory.max", "memory.current"


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


def memory_available() -> int:
    """Return the bytes that can still be allocated without swapping: of the machine, or of the container where that has less."""
    return min([psutil.virtual_memory().available, *(max(0, limit - used) for limit, used in _cgroup_memory())])


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
