"""Measurements of models that later runs find again: a teacher is measured once on the same held-out items, not in every run.

A measurement is kept under a digest of everything that its numbers depend on: the weights, the teacher that they are compared with, the
items, how they are batched, the number format, and the versions and instructions that compute it. Each is a file of
``<cache>/measurements/``, there whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from core.data.packing import Blocks
from core.system.files import read_json, write_json

FORMAT = 1  # to be raised when the same model gives other numbers

Metrics = dict[str, float]


@dataclass(frozen=True)
class KeptMeasurements:
    """The folder of measurements.

    Attributes:
        folder: made with the first measurement.
    """

    folder: Path

    def find(self, key: Mapping[str, Any]) -> Metrics | None:
        """Return the metrics that are kept under a key; None where there are none."""
        record = read_json(self._path(key))
        metrics = record.get("metrics") if isinstance(record, dict) else None
        return metrics if isinstance(metrics, dict) else None

    def of(self, key: Mapping[str, Any], measure: Callable[[], Metrics], found_again: Callable[[], object] = lambda: None) -> Metrics:
        """Return the metrics that are kept under a key; those that `measure` gives, which are kept then, where there are none.

        Args:
            found_again: called where there are.
        """
        found = self.find(key)
        if found is not None:
            found_again()
        else:
            found = measure()
            write_json(self._path(key), {"key": dict(key), "metrics": found})
        return found

    def _path(self, key: Mapping[str, Any]) -> Path:
        text = json.dumps(dict(key), sort_keys=True)
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:20]}.json"


def arithmetic(device: torch.device, dtype: torch.dtype) -> dict[str, str]:
    """Return the part of a key that says how numbers are computed."""
    processor = torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    return {"format": str(FORMAT), "dtype": str(dtype), "device": f"{device.type} {processor}", "torch": torch.__version__,
            "transformers": transformers.__version__}


def blocks_digest(blocks: Blocks) -> str:
    """Return twenty hexadecimal digits over the tokens of blocks and their weights."""
    digest = hashlib.sha256(str(blocks.input_ids.shape).encode())
    digest.update(blocks.input_ids.tobytes())
    digest.update(blocks.weights.tobytes())
    return digest.hexdigest()[:20]
