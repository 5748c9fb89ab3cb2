"""What ends a run, as an error that its user can act on."""

from __future__ import annotations

import errno
import os
from collections import namedtuple
from pathlib import Path

import pytest

from core.errors import DataError, DiskFullError, OutOfMemoryError, RunError, RunVerb
from workbench import error_mapping
from workbench.error_mapping import to_user_error

OUT_OF_MEMORY = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")


def raised(error: Exception, cause: BaseException | None = None, *, hidden: bool = False) -> Exception:
    """An error as it looks when it was raised while another was handled: with it as its context, or its cause, or hidden."""
    def fail() -> None:
        try:
            if cause is not None:
                raise cause
        except BaseException as first:
            if hidden:
                raise error from None
            raise error from first
        raise error

    with pytest.raises(type(error)) as caught:
        fail()
    return caught.value


def test_an_error_for_users_is_left_alone(tmp_path: Path) -> None:
    error = DataError("There is nothing.", "Text was expected.", "Write some.")
    assert to_user_error(error, tmp_path) is error


@pytest.mark.parametrize("error", [
    OSError(errno.ENOSPC, "No space left on device"), OSError(errno.EDQUOT, "Disk quota exceeded"),
    RuntimeError("safetensors: I/O error: No space left on device (os error 28)"),
    raised(ValueError("could not save"), OSError(errno.ENOSPC, "No space left on device"))])
def test_a_full_disk_is_named_with_its_folder(tmp_path: Path, error: Exception) -> None:
    found = to_user_error(error, tmp_path)
    assert type(found) is DiskFullError and str(tmp_path) in str(found)


@pytest.mark.parametrize(("free", "kind"), [(error_mapping.CROWDED_BYTES - 1, DiskFullError), (error_mapping.CROWDED_BYTES, RunError)])
def test_torchs_writer_gives_no_reason_so_the_disk_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int,
                                                                kind: type) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(error_mapping.shutil, "disk_usage", lambda folder: usage(9, 9, free))
    assert type(to_user_error(RuntimeError("PytorchStreamWriter failed writing file"), tmp_path)) is kind


@pytest.mark.parametrize("error", [MemoryError(), OUT_OF_MEMORY, raised(ValueError("step failed"), OUT_OF_MEMORY)])
def test_too_little_memory_names_what_to_lower(tmp_path: Path, error: Exception) -> None:
    found = to_user_error(error, tmp_path)
    assert type(found) is OutOfMemoryError and "per_device_train_batch_size" in str(found)


def test_an_error_that_hides_its_context_is_taken_as_it_is(tmp_path: Path) -> None:
    assert type(to_user_error(raised(ValueError("no model"), OUT_OF_MEMORY, hidden=True), tmp_path)) is RunError


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    error = PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/data/corpus.txt")
    found = to_user_error(error, tmp_path)
    assert type(found) is RunError and "/data/corpus.txt" in str(found) and "permission denied" in str(found)
    assert "broken" in str(to_user_error(OSError("broken"), tmp_path))


def test_anything_else_is_named_by_its_type(tmp_path: Path) -> None:
    assert "KeyError: 'x'" in str(to_user_error(KeyError("x"), tmp_path))


@pytest.mark.parametrize(("limit", "before", "after", "expected"), [
    (None, 3, 3, "It was probably out of memory."), (None, None, 3, "It was probably out of memory."),
    (None, 3, None, "It was probably out of memory."), (2**30, 3, 4, "It was out of memory: 1.0 GiB may be used here.")])
def test_a_process_that_was_killed_was_out_of_memory(monkeypatch: pytest.MonkeyPatch, limit: int | None, before: int | None,
                                                     after: int | None, expected: str) -> None:
    monkeypatch.setattr(error_mapping.machine, "memory_limit", lambda: limit)
    monkeypatch.setattr(error_mapping.machine, "ended_for_memory", lambda: after)
    error = error_mapping.killed_error("The process", "Take less.", since=before)
    assert (error.given, error.expected, error.fix, error.suggestion) == ("The process was ended by the system (SIGKILL).", expected,
                                                                          "Take less.", None)


def test_a_run_that_was_killed_can_be_resumed() -> None:
    error = error_mapping.killed_error("The process", "Take less.", run="walk")
    assert error.suggestion == RunVerb("resume", "walk") and "last checkpoint" in error.fix
