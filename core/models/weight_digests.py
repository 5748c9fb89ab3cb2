"""Digests by which the weights of a model are known, whether they are in its files or in memory."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UnsupportedModelError
from core.models.checkpoints import TensorInfo, canonical_parameters, read_config, read_header, weight_files

if TYPE_CHECKING:
    import numpy as np
    import torch
    from transformers import PreTrainedModel


def weights_hash(folder: Path) -> str:
    """Return twelve hexadecimal digits that identify a model folder's weights, whatever their order, files and float format.

    Equal to `loaded_hash` of the model loaded from it, unless loading rounded the weights.
    """
    config = read_config(folder)
    places: dict[str, tuple[Path, TensorInfo]] = {}
    for path in weight_files(folder):
        places |= {name: (path, tensor) for name, tensor in read_header(path).items()}
    return _digest((name, partial(_read_tensor, *place)) for name, place in canonical_parameters(places, config))


def loaded_hash(model: PreTrainedModel) -> str:
    """Return the same digits for the weights that a model holds in memory now; see `weights_hash`."""
    members: Sequence[PreTrainedModel] = getattr(model, "members", ())
    if len(members):  # an ensemble: its members, and how they are averaged
        parts = [loaded_hash(member) for member in members]
        return hashlib.sha256(repr((parts, getattr(model, "reference", None))).encode()).hexdigest()[:12]
    weights = dict(canonical_parameters(model.state_dict(), model.config.to_dict()))
    return _digest((part, partial(_values, values)) for name, weight in weights.items() for part, values in _by_expert(name, weight))


def _by_expert(name: str, weight: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield a parameter as files hold it: experts one by one, their gates apart from what they gate; any other as it is."""
    experts, _, part = name.rpartition(".experts.")
    if not experts:
        yield name, weight
        return
    for number, matrix in enumerate(weight):  # (E, out, in)
        halves = zip(("gate_proj", "up_proj"), matrix.chunk(2), strict=True) if part == "gate_up_proj" else [(part, matrix)]
        for projection, values in halves:
            yield f"{experts}.experts.{number}.{projection}.weight", values


def _digest(weights: Iterable[tuple[str, Callable[[], np.ndarray]]]) -> str:
    """Hash name, shape and fp32 values of each tensor in order of names with sha256; one tensor is in memory at a time."""
    digest = hashlib.sha256()
    for name, read in sorted(weights):
        array = read()
        digest.update(f"{name} {array.shape}".encode())
        digest.update(array.data if array.flags.c_contiguous else array.tobytes())
    return digest.hexdigest()[:12]


def _values(weight: torch.Tensor) -> np.ndarray:
    """Return a loaded tensor's values in fp32."""
    return weight.detach().float().cpu().numpy()


def _read_tensor(path: Path, tensor: TensorInfo) -> np.ndarray:
    """Read one tensor's values in fp32."""
    import numpy as np

    stored = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}.get(tensor.dtype)
    if stored is None:
        raise UnsupportedModelError(f"'{path}' holds weights of type {tensor.dtype}.", "Plain weights in 16 or 32 bits were expected.",
                                    "Use the model's unquantised version.")
    array = np.fromfile(path, stored, count=math.prod(tensor.shape), offset=tensor.start).reshape(tensor.shape)
    if tensor.dtype == "BF16":  # the upper half of an fp32
        return (array.astype("<u4") << 16).view("<f4")
    return array.astype("<f4", copy=False)
