"""Exported files that are called like a function, on graphs of one operator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from core.errors import CorruptModelError
from core.export.graph import OUTPUT
from core.export.sessions import OnnxModel

IDS, MASK, TYPES = np.array([[3, 4, 5]]), np.array([[1, 1, 0]]), np.array([[0, 1, 1]])


def graph(path: Path, inputs: tuple[str, ...]) -> Path:
    """Write a file whose logits are the sum of its inputs as float32."""
    total = helper.make_node("Sum", [f"{name}_float" for name in inputs], [OUTPUT])
    casts = [helper.make_node("Cast", [name], [f"{name}_float"], to=TensorProto.FLOAT) for name in inputs]
    given = [helper.make_tensor_value_info(name, TensorProto.INT64, ["B", "T"]) for name in inputs]
    made = helper.make_graph([*casts, total], "sum", given, [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["B", "T"])])
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def test_inputs_reach_the_graph_by_name(tmp_path: Path) -> None:
    model = OnnxModel(graph(tmp_path / "a.onnx", ("attention_mask", "input_ids")))
    assert model(IDS, MASK).tolist() == [[4, 5, 5]] and model(IDS, MASK).dtype == np.float32
    assert model.inputs == ("attention_mask", "input_ids")
    assert (model.path, model.bytes) == (tmp_path / "a.onnx", (tmp_path / "a.onnx").stat().st_size)


def test_token_types_are_zeros_unless_they_are_given(tmp_path: Path) -> None:
    model = OnnxModel(graph(tmp_path / "a.onnx", ("input_ids", "attention_mask", "token_type_ids")), threads=2)
    assert model(IDS, MASK).tolist() == [[4, 5, 5]]
    assert model(IDS, MASK, TYPES).tolist() == [[4, 6, 6]]


def test_a_graph_without_token_types_is_given_none(tmp_path: Path) -> None:
    model = OnnxModel(graph(tmp_path / "a.onnx", ("input_ids", "attention_mask")))
    assert model(IDS, MASK, TYPES).tolist() == [[4, 5, 5]]


@pytest.mark.parametrize("content", [b"", b"no graph", None])
def test_a_file_that_is_no_graph_is_reported_with_its_path(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "a.onnx").write_bytes(content)
    with pytest.raises(CorruptModelError, match=r"a\.onnx"):
        OnnxModel(tmp_path / "a.onnx")
