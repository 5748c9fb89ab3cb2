"""Files of models by strangers: one kind of error, with the place, whatever a library raises."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import CorruptModelError, DataError
from core.models.model_files import MAX_JSON_BYTES, read_json, refuse_damaged
from core.recorder import StopRequested


@pytest.mark.parametrize(("content", "says"), [
    (b"{", "not JSON at line 1, column 2"), (b"\xff", "not UTF-8 text"), (b"[" * 100_000, "nested too deeply"),
    (b"1" * 5000, "too many digits"), (b'{"a": 1,\n "b" 2}', "line 2, column 6")])
def test_json_that_cannot_be_read_names_file_and_place(content: bytes, says: str, tmp_path: Path):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(CorruptModelError, match=says) as caught:
        read_json(tmp_path / "config.json")
    assert "config.json" in caught.value.given
    assert caught.value.expected and caught.value.fix


def test_a_file_too_large_for_settings_is_not_read(tmp_path: Path):
    with (tmp_path / "config.json").open("wb") as file:
        file.truncate(MAX_JSON_BYTES + 1)
    with pytest.raises(CorruptModelError, match="more than 32 MiB"):
        read_json(tmp_path / "config.json")
    with pytest.raises(CorruptModelError, match="cannot be read"):
        read_json(tmp_path)


class PanicException(BaseException):
    """As the tokenizers library raises it."""


@pytest.mark.parametrize("error", [
    ValueError("bad"), KeyError("added_tokens"), RecursionError(), AssertionError(), OSError("truncated"),
    PanicException("index out of bounds")])
def test_whatever_a_library_raises_becomes_one_kind(error: BaseException):
    says = r"The tokenizer of 'x' cannot be read: .+\."
    with pytest.raises(CorruptModelError, match=says) as caught, refuse_damaged("The tokenizer of 'x'"):
        raise error
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [
    MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory"), OSError(28, "No space left on device"),
    KeyboardInterrupt(),
    StopRequested(), DataError("given", "expected")])
def test_what_is_no_fault_of_the_files_passes(error: BaseException):
    with pytest.raises(type(error)) as caught, refuse_damaged("The model"):
        raise error
    assert caught.value is error
