"""What tests of whole experiments share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A small text of film reviews, one a paragraph."""
    return write_reviews(tmp_path / "reviews.txt", 120)


@pytest.fixture
def short_corpus(tmp_path: Path) -> Path:
    """A third of it: some fifty blocks to train on, of which every position may be kept or sent."""
    return write_reviews(tmp_path / "short.txt", 40)


def write_reviews(path: Path, count: int) -> Path:
    """Write so many reviews, a multiple of four."""
    words = ["quiet", "dull", "very good", "touching"] * (count // 4)
    path.write_text("\n\n".join(f"Film number {n} has a {word} script and {n % 7} good jokes, I think."
                                for n, word in zip(range(count), words, strict=True)))
    return path


@pytest.fixture(scope="session", autouse=True)
def lean_exporter() -> Iterator[None]:
    """torch's exporter reads its table of operators once for all exports, and runs without the tracer of coverage.

    The table takes it half a second each time; traced, it takes more than twice its seconds, and calls one line of ours.
    """
    import torch
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    export = torch.onnx.export

    def untraced(*given: Any, **more: Any) -> Any:
        tracer = sys.gettrace()
        sys.settrace(None)
        try:
            return export(*given, **more)
        finally:
            sys.settrace(tracer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.onnx, "export", untraced)
        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(cache(ONNXRegistry.from_torchlib)))
        yield
