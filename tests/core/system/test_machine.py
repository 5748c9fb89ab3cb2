from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from core.errors import OutOfMemoryError
from core.system import machine

FREE = 8 * 2**30


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 8 GiB free; what its control groups say is written below the folder."""
    monkeypatch.setattr(machine, "CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(machine, "OWN_CGROUP", tmp_path / "own")
    monkeypatch.setattr(machine.psutil, "virtual_memory", lambda: SimpleNamespace(available=FREE))
    return tmp_path


def write(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("_", ".", 1)).write_text(f"{content}\n")


def test_without_control_groups_the_machine_counts(groups: Path):
    assert machine.memory_available() == FREE


@pytest.mark.parametrize("own", ["0::/", "0::/box", "0::/box/inner"])
def test_a_limit_around_the_process_counts(groups: Path, own: str):
    (groups / "own").write_text(f"{own}\n")
    write(groups / "cgroup" / "box" / "inner", memory_max="max", memory_current=5)  # has no limit of its own
    limited = groups / "cgroup" / ("" if own == "0::/" else "box")
    write(limited, memory_max=1000, memory_current=700, memory_stat="anon 5\ninactive_file 100")
    assert machine.memory_available() == 1000 - (700 - 100)


def test_a_limit_of_version_1_counts(groups: Path):
    (groups / "own").write_text("3:cpuset:/\n2:memory:/box\n0::/\n")
    folder = groups / "cgroup" / "memory" / "box"
    folder.mkdir(parents=True)
    (folder / "memory.limit_in_bytes").write_text("1000")
    (folder / "memory.usage_in_bytes").write_text("700")
    (folder / "memory.stat").write_text("inactive_file 1\ntotal_inactive_file 50\n")
    assert machine.memory_available() == 1000 - (700 - 50)


def test_a_limit_above_what_is_free_changes_nothing(groups: Path):
    (groups / "own").write_text("0::/\n")
    write(groups / "cgroup", memory_max=2 * FREE, memory_current=1, memory_stat="inactive_file 0")
    assert machine.memory_available() == FREE


def test_a_group_over_its_limit_leaves_nothing(groups: Path):
    (groups / "own").write_text("0::/\n")
    write(groups / "cgroup", memory_max=100, memory_current=200, memory_stat="inactive_file 0")
    assert machine.memory_available() == 0


def test_the_limit_itself_is_the_least_around_the_process(groups: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine.psutil, "virtual_memory", lambda: SimpleNamespace(available=FREE, total=2 * FREE))
    assert machine.memory_limit() is None
    (groups / "own").write_text("0::/box/inner\n")
    write(groups / "cgroup" / "box" / "inner", memory_max=2 * FREE + 1, memory_current=5)  # as version 1 says "none"
    assert machine.memory_limit() is None
    write(groups / "cgroup" / "box", memory_max=1000, memory_current=700)
    write(groups / "cgroup", memory_max=2000, memory_current=700)
    for folder in (groups / "cgroup" / "box", groups / "cgroup", groups / "cgroup" / "box" / "inner"):
        write(folder, memory_stat="inactive_file 0")
    assert machine.memory_limit() == 1000


def test_processes_that_were_ended_for_memory_are_counted(groups: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "EVENTS", groups / "vmstat")
    assert machine.ended_for_memory() is None
    (groups / "vmstat").write_text("nr_free_pages 5\noom_kill 12\nnr_oom_kill 3\n")
    assert machine.ended_for_memory() == 12
    (groups / "vmstat").write_text("nr_free_pages 5\n")
    assert machine.ended_for_memory() is None


@pytest.fixture
def limits(groups: Path, monkeypatch: pytest.MonkeyPatch) -> dict[int, int]:
    """What this process may allocate, by the number of the limit; it uses 100 bytes of private memory and 300 of address space."""
    resource = pytest.importorskip("resource", reason="such limits are those of Linux")
    given: dict[int, int] = {}
    monkeypatch.setattr(machine.sys, "platform", "linux")
    monkeypatch.setattr(resource, "getrlimit", lambda number: (given.get(number, resource.RLIM_INFINITY), resource.RLIM_INFINITY))
    monkeypatch.setattr(machine.psutil, "Process", lambda: SimpleNamespace(memory_info=lambda: SimpleNamespace(data=100, vms=300)))
    return given


def test_a_limit_of_the_process_counts(limits: dict[int, int]):
    import resource

    assert machine.process_limits() == [] and machine.memory_available() == FREE
    machine.require_room_for_libraries()
    limits[resource.RLIMIT_DATA] = 1000
    assert machine.memory_available() == 900
    limits[resource.RLIMIT_AS] = 800
    assert machine.memory_available() == 500


@pytest.mark.parametrize(("kind", "enough", "named"), [("RLIMIT_DATA", 2**29, "ulimit -d"), ("RLIMIT_AS", 5 * 2**28, "ulimit -v")])
def test_a_process_that_cannot_import_torch_is_refused(kind: str, enough: int, named: str, limits: dict[int, int]):
    import resource

    limits[getattr(resource, kind)] = enough
    machine.require_room_for_libraries()
    limits[getattr(resource, kind)] = enough - 1
    with pytest.raises(OutOfMemoryError, match=f"may use .*{named}.*torch and Transformers take") as refused:
        machine.require_room_for_libraries()
    assert "Raise that limit" in refused.value.fix
