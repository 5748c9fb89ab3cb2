"""Maps exceptions that end a run to errors that a user can act on."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from core.errors import DiskFullError, OutOfMemoryError, RunError, RunVerb, StillhouseError
from core.system import machine
from core.system.devices import is_out_of_memory
from core.system.units import format_gib

TOO_LITTLE = "There was not enough memory"
LESS_TO_TRAIN = ("Lower train.per_device_train_batch_size (and raise train.gradient_accumulation_steps as much), "
                 "data.block_length or student.layers, or close other programs.")
CROWDED_BYTES = 1 << 20  # with less than this left on the disk, a failed write is a full disk


def to_user_error(error: Exception, directory: Path) -> StillhouseError:
    """Return the user-facing error for an exception that ended a run in the folder `directory`."""
    if isinstance(error, StillhouseError):
        return error
    causes = list(_chain(error))
    if any(_is_disk_full(cause, directory) for cause in causes):
        return DiskFullError(f"The disk that holds {directory} is full.", "",
                             "Free some space, then resume: everything up to the last checkpoint is kept.")
    if any(map(is_out_of_memory, causes)):
        return OutOfMemoryError(f"{TOO_LITTLE}.", "", LESS_TO_TRAIN)
    if isinstance(error, OSError):
        return RunError(f"{error.filename or 'A file'} cannot be read or written: {(error.strerror or str(error)).lower()}.", "",
                        "Put that right, then resume.")
    return RunError(f"The run failed: {type(error).__name__}: {error}", "", "The end of its log shows where.")


def memory_error(error: BaseException, task: str, advice: str) -> OutOfMemoryError | None:
    """Return the user-facing error where memory was refused, directly or as the cause of `error`; None for any other exception.

    Args:
        task: what there was not enough memory for, as an infinitive.
        advice: how to get by with less.
    """
    refused = any(map(is_out_of_memory, _chain(error)))
    return OutOfMemoryError(f"{TOO_LITTLE} to {task}.", "", advice) if refused else None


def killed_error(what: str, advice: str, *, since: int | None = None, run: str = "") -> OutOfMemoryError:
    """Return the user-facing error for a process that was ended by SIGKILL, which a system without memory sends, and hardly anybody else.

    Args:
        what: begins the sentence, as "The process of 'distill'".
        advice: how to get by with less.
        since: what `core.system.machine.ended_for_memory` said when the process began; None where that is not known.
        run: name of the run that it carried out, which can be resumed.
    """
    limit, now = machine.memory_limit(), machine.ended_for_memory()
    certain = since is not None and now is not None and now > since
    room = f": {format_gib(limit)} may be used here" if limit is not None else ""
    return OutOfMemoryError(f"{what} was ended by the system (SIGKILL).",
                            f"It was {'' if certain else 'probably '}out of memory{room}.",
                            f"{advice} What the run has kept up to its last checkpoint can be resumed." if run else advice,
                            suggestion=RunVerb("resume", run) if run else None)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _is_disk_full(error: BaseException, directory: Path) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    # safetensors and torch report a failed write by exceptions of their own, torch without its reason.
    text = str(error)
    return "No space left on device" in text or ("PytorchStreamWriter" in text and shutil.disk_usage(directory).free < CROWDED_BYTES)
