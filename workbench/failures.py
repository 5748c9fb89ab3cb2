"""What an exception that ended a run means to its user."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from core.errors import DiskFull, OutOfMemory, RunError, StillhouseError

CROWDED_BYTES = 1 << 20  # with less than this left on the disk, a failed write is a full disk


def explain(error: BaseException, directory: Path) -> StillhouseError:
    """The readable form of whatever ended a run whose folder is `directory`."""
    for cause in _chain(error):
        if isinstance(cause, StillhouseError):
            return cause
        if _is_disk_full(cause, directory):
            return DiskFull(f"The disk that holds {directory} is full.", "", "Free some space, then resume: everything up to the last checkpoint is kept.")
        if is_out_of_memory(cause):
            return OutOfMemory("There was not enough memory.", "", "Lower train.per_device_train_batch_size (and raise train.gradient_accumulation_steps "
                               "as much), data.block_length or student.layers, or close other programs.")
    if isinstance(error, OSError):
        return RunError(f"The run could not read or write {error.filename or 'a file'}: {(error.strerror or str(error)).lower()}.", "",
                        "Make it accessible, then resume.")
    return RunError(f"The run failed: {type(error).__name__}: {error}", "", "The end of its log shows where.")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_disk_full(error: BaseException, directory: Path) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    # safetensors and torch report a failed write by exceptions of their own, torch without its reason.
    text = str(error)
    return "No space left on device" in text or ("PytorchStreamWriter" in text and shutil.disk_usage(directory).free < CROWDED_BYTES)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the machine or the device had no memory left."""
    # By name: this module must not import torch. The allocator of the processor raises a plain RuntimeError.
    return (isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
            or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error)))
