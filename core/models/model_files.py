"""The files of a model that somebody else made: what cannot be read is a `CorruptModelError` that names the place.

A file is read by a library, and libraries raise what they like. `read_json` is the reader of every JSON file beside the weights;
`refuse_damaged` surrounds whatever else reads a model, a tokenizer or a GGUF file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.errors import CorruptModelError, StillhouseError
from core.recorder import StopRequested
from core.system.devices import is_out_of_memory
from core.system.plain_data import PlainDataError, parse_json

AGAIN = "Download or export the model again."
MAX_JSON_BYTES = 1 << 25  # 32 MiB; the index of a model of 140,000 tensors has 14 MB
LONGEST_REASON = 200  # characters of a library's message


def read_json(path: Path) -> Any:
    """Return the plain data of a JSON file of a model.

    Raises:
        CorruptModelError: it cannot be read, is too large to be such a file, or is not JSON; with the line and column.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_JSON_BYTES + 1)
    except OSError as error:
        raise CorruptModelError(f"'{path}' cannot be read: {(error.strerror or str(error)).lower()}.", "A readable file was expected.",
                                "Check its permissions.") from error
    if len(content) > MAX_JSON_BYTES:
        raise CorruptModelError(f"'{path}' has more than {MAX_JSON_BYTES >> 20} MiB.", "A file of a model's settings was expected.", AGAIN)
    try:
        return parse_json(content)
    except PlainDataError as error:
        raise CorruptModelError(f"'{path}' is not JSON{error.place}: {error.problem}.", "A JSON file was expected.", AGAIN) from error


@contextmanager
def refuse_damaged(what: str, done: str = "read") -> Iterator[None]:
    """Turn whatever a library raises inside into `CorruptModelError`.

    Errors of this project, a user's request to stop, and a machine without memory or disk are no fault of the files, and pass.

    Args:
        what: is read there, as words that a sentence begins with: "The tokenizer of 'x'".
        done: what is done with it.
    """
    try:
        yield
    except (StillhouseError, StopRequested):
        raise
    except BaseException as error:
        # The tokenizers library is written in Rust, whose panics arrive as a BaseException of a class that cannot be imported.
        is_panic = type(error).__name__ == "PanicException"
        if not (isinstance(error, Exception) or is_panic) or is_out_of_memory(error) or _is_full(error):
            raise
        raise CorruptModelError(f"{what} cannot be {done}: {_reason(error)}",
                                "Complete files of one model were expected.", AGAIN) from error


def _is_full(error: BaseException) -> bool:
    return "No space left on device" in str(error)


def _reason(error: BaseException) -> str:
    """Return the first line of a library's message, with the kind of error where that alone says nothing."""
    lines = str(error).strip().splitlines()
    first = " ".join(map(str.strip, lines[:2])) if lines and lines[0].endswith(":") else "".join(lines[:1])
    said = first[:LONGEST_REASON] or "no reason given"
    if isinstance(error, (KeyError, IndexError, AttributeError, TypeError, AssertionError)) or not lines:
        said = f"{type(error).__name__}: {said}"
    return said if said.endswith((".", "!", "?")) else f"{said}."
