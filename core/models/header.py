"""Read all that is known of a model without its weights: configuration, parameter shapes and what follows from them.

A model folder's header is its ``config.json`` with the headers of its safetensors files; a GGUF file holds both in one.
`read_model_header` reads either and keeps what it read until the files change. Plans, forms and checks take the
`ModelHeader` and read no file themselves. torch is never imported here.
"""

from __future__ import annotations

import os
import threading
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from core.models import checkpoints, gguf
from core.models.architectures import ArchitectureSpec, architecture_of
from core.models.checkpoints import ParameterCount, Task
from core.models.dimensions import Dimensions, ParameterCounter

Shape = tuple[int, ...]

KEPT_HEADERS = 256
KEPT_TENSORS = 200_000  # of all headers that are kept: some 100 MB


@dataclass(frozen=True, eq=False)
class ModelHeader:
    """A model's configuration and tensor shapes. Callers share the instance, so neither may be changed in place.

    The properties raise CorruptModelError where the configuration lacks a size, or announces other blocks than the files hold.

    Attributes:
        config: the plain data of ``config.json``, or as much of it as a GGUF file holds.
        shapes: the shape of every tensor by its name in the files; of a GGUF file by names that `counts` can sort into parts.
        size_bytes: of the weight files on disk, or of a download.
        format: of the weight files. Only safetensors name their parameters as the architecture does (see `parameters`).
        dtype: the number type that most bytes are in, as safetensors name it (F32, BF16, ...); empty where it is not known.
        metadata: scalars and strings of a GGUF file by key; empty for safetensors.
    """

    config: Mapping[str, Any]
    shapes: Mapping[str, Shape]
    size_bytes: int
    format: Literal["safetensors", "gguf"] = "safetensors"
    dtype: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def architecture(self) -> ArchitectureSpec:
        """Where the architecture keeps its parts. Raises UnsupportedModelError for one that is not described."""
        return architecture_of(self.config)

    @cached_property
    def task(self) -> Task:
        """What the model's head is for. Raises UnsupportedModelError for a head of another kind."""
        return checkpoints.task_of(self.config)

    @cached_property
    def parameters(self) -> Mapping[str, Shape]:
        """Shapes by canonical name, tied weights once, without constants and the parts of other heads."""
        return dict(checkpoints.canonical_parameters(self.shapes, self.config))

    @cached_property
    def counts(self) -> ParameterCount:
        """Numbers of parameters by part."""
        return checkpoints.count_parameters(self.shapes, self.config)

    @cached_property
    def dimensions(self) -> Dimensions:
        """All sizes that depth and width depend on."""
        return Dimensions.from_config(self.config)

    @property
    def precision(self) -> str:
        """Number format of most weights, as recipes name it; fp32 where it is another, or not known."""
        return {"F16": "fp16", "BF16": "bf16"}.get(self.dtype, "fp32")

    @cached_property
    def has_language_head(self) -> bool:
        """Whether the files hold a head that predicts tokens; encoders are also published without one."""
        return self.format == "gguf" or self.architecture.has_language_head(self.parameters, self.config)

    @property
    def vocabulary(self) -> int:
        """Rows of the token embedding, padding included."""
        return self.architecture.dimension(self.config, "vocab_size")

    @property
    def context(self) -> int:
        """Tokens of the longest sequence."""
        return self.architecture.context(self.config)

    @property
    def uses_dropout(self) -> bool:
        """Whether training drops activations."""
        return any(self.config.get(key) for key in self.architecture.dropout_keys)

    def parameter_counter(self) -> ParameterCounter:
        """Return a counter of parameters at any sizes of this model's family."""
        return ParameterCounter(self.parameters, self.config)


def precision_of(requested: str, *origins: ModelHeader | None) -> str:
    """Return the number format that a student is saved in: the requested one, or for ``auto`` that of the first of `origins` there is.

    Args:
        origins: headers of the teacher, and of the model that the student starts from; None for one that is not there.
    """
    found = next((header.precision for header in origins if header is not None), "fp32")
    return found if requested == "auto" else requested


def read_model_header(path: Path) -> ModelHeader:
    """Read the header of a model folder or of a GGUF file; the files are read again only after one of them has changed.

    Raises:
        ModelNotFoundError, ModelError, CorruptModelError, UnsafeModelError, UnsupportedModelError: as
            `core.models.checkpoints.read_config`,
            `weight_files` and `read_header` there, and `core.models.gguf.read_header`.
    """
    return _HEADERS.get(path, _fingerprint(path))


Fingerprint = tuple[tuple[str, int, int, int], ...]


def _fingerprint(path: Path) -> Fingerprint:
    """Return the name, inode, size in bytes and time of change in nanoseconds of every file that a header is read from."""
    if path.is_dir():
        # is_file leaves out links that lead nowhere, as an interrupted download leaves them.
        found = [(entry.name, entry.stat()) for entry in os.scandir(path)
                 if entry.name.endswith((".json", ".safetensors")) and entry.is_file()]
    else:
        found = [(path.name, path.stat())]
    return tuple(sorted((name, stat.st_ino, stat.st_size, stat.st_mtime_ns) for name, stat in found))


class _Headers:
    """Keeps headers that were read, the latest used ones, with at most `KEPT_TENSORS` tensors in all. Several threads may ask."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[Path, Fingerprint], ModelHeader] = OrderedDict()
        self._tensors = 0
        self._lock = threading.Lock()

    def get(self, path: Path, fingerprint: Fingerprint) -> ModelHeader:
        """Return a header, read now if it is not kept."""
        key = path, fingerprint
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        header = _read(path)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = header
                self._tensors += len(header.shapes)
            header = self._kept[key]
            while len(self._kept) > KEPT_HEADERS or (self._tensors > KEPT_TENSORS and len(self._kept) > 1):
                self._tensors -= len(self._kept.popitem(last=False)[1].shapes)
        return header


_HEADERS = _Headers()


def _read(path: Path) -> ModelHeader:
    if path.is_dir():
        return _read_folder(path)
    header = gguf.read_header(path)
    return ModelHeader(header.config(), header.parameter_shapes(), path.stat().st_size, "gguf", metadata=header.metadata)


def _read_folder(folder: Path) -> ModelHeader:
    config, files = checkpoints.read_config(folder), checkpoints.weight_files(folder)
    tensors = checkpoints.read_headers(files)
    bytes_by_dtype: Counter[str] = Counter()
    for tensor in tensors.values():
        bytes_by_dtype[tensor.dtype] += tensor.end - tensor.start
    return ModelHeader(config, {name: tensor.shape for name, tensor in tensors.items()}, sum(file.stat().st_size for file in files),
                       dtype=bytes_by_dtype.most_common(1)[0][0] if tensors else "")
