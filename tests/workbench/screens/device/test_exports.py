"""What the page knows of an export."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from core.errors import CompatibilityError
from core.export.agreement import Agreement
from core.export.exporting import Exported, Measured
from core.models import catalog
from tests.core.export.encoders import save_encoder
from workbench import paths
from workbench.screens.device import exports


def made(model: str, torch_bytes: int, int8_bytes: int, top1: float = 0.98) -> Exported:
    near, nearer = Agreement(300, 0.2, top1, 0.03, 0.004), Agreement(300, 1e-5, 1.0, 1e-7, 1e-8)
    forms = {"torch": Measured(torch_bytes, 12.0, None), "onnx": Measured(torch_bytes, 6.0, nearer),
             "onnx-int8": Measured(int8_bytes, 1.5, near)}
    return Exported(model, "onnx-int8", "model.int8.onnx", "masked", "bert", 7_000_000, "0" * 12, 256, forms, {}, None)


def test_the_student_is_compared_with_the_largest_teacher() -> None:
    said = exports.headline([made("teacher", 28_000_000, 7_200_000), made("student", 18_400_000, 4_700_000)])
    assert said.startswith("student in int8 takes 4.7 MB, 6.0 times less than the float32 folder of teacher. At 300 blanks")
    assert "98.0% of the time" in said
    assert "than its own float32 folder" in exports.headline([made("only", 28_000_000, 7_000_000)])


def test_a_row_for_each_form() -> None:
    rows = exports.rows([made("teacher", 28_000_000, 7_200_000)])
    assert [row[0].split("\n")[1] for row in rows] == list(exports.NAMES.values())
    assert rows[0][3:] == ("–", "–", "–")
    assert rows[2] == ("teacher\nONNX, int8", "7.2 MB", "1.5 ms", "98.0%", "0.03", "0.004")
    assert {len(row) for row in rows} == {len(exports.HEAD)}


def test_weights_that_changed_are_exported_again(tmp_path: Path) -> None:
    source = save_encoder(tmp_path / "a model", "distilbert")
    entry = catalog.describe(str(source))
    first = exports.export_folder(entry.name, source)
    assert first.parent == paths.exports_dir()
    assert first == exports.export_folder(entry.name, source)
    os.utime(source / "model.safetensors", (1, 1))
    assert exports.export_folder(entry.name, source) != first


def test_classifiers_are_offered_and_other_heads_are_not(tmp_path: Path) -> None:
    entry = catalog.describe(str(save_encoder(tmp_path / "model", "bert", "classification")))
    offered = exports.offer(entry)
    assert offered is not None
    assert offered.made is None
    with pytest.raises(CompatibilityError, match="A model that predicts masked tokens, or classifies texts, was expected"):
        exports.offer(catalog.describe(str(save_encoder(tmp_path / "answers", "bert", "question_answering"))))
    with pytest.raises(CompatibilityError, match="'house-chat' predicts the next token"):
        exports.offer(catalog.describe("house-chat"))
