"""Measurements that later runs find again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from core.data.packing import Blocks
from core.methods.kept_measurements import KeptMeasurements, arithmetic, blocks_digest


def test_what_was_measured_once_is_found_again_under_its_key_alone(tmp_path: Path) -> None:
    kept, calls = KeptMeasurements(tmp_path / "measurements"), []

    def measure() -> dict[str, float]:
        calls.append(1)
        return {"cross_entropy": 0.1 + 0.2}

    assert kept.find({"weights": "a"}) is None
    assert kept.of({"weights": "a", "batch": 8}, measure) == kept.of({"batch": 8, "weights": "a"}, measure) == {"cross_entropy": 0.1 + 0.2}
    kept.of({"weights": "b", "batch": 8}, measure)
    assert len(calls) == 2


def test_a_damaged_record_is_measured_again(tmp_path: Path) -> None:
    kept = KeptMeasurements(tmp_path)
    kept.of({"weights": "a"}, lambda: {"agreement": 1.0})
    (file,) = tmp_path.iterdir()
    for damaged in ("", "[]", '{"metrics": 3}'):
        file.write_text(damaged)
        assert kept.find({"weights": "a"}) is None
    assert kept.of({"weights": "a"}, lambda: {"agreement": 0.5}) == kept.find({"weights": "a"}) == {"agreement": 0.5}


def test_a_key_tells_formats_and_items_apart() -> None:
    cpu = torch.device("cpu")
    assert arithmetic(cpu, torch.float32) != arithmetic(cpu, torch.bfloat16)
    blocks = Blocks(np.arange(8, dtype=np.int32).reshape(2, 4), np.ones((2, 4), dtype=np.float32), 2, 8)
    other = [replace(blocks, input_ids=blocks.input_ids + 1), replace(blocks, weights=blocks.weights / 2), blocks.take(1),
             replace(blocks, input_ids=blocks.input_ids.reshape(4, 2), weights=blocks.weights.reshape(4, 2))]
    assert len({blocks_digest(each) for each in (blocks, *other)}) == 5
