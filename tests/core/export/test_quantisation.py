"""Tables in int8: what a row becomes, and which tables are left alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from core.export.quantisation import LEVELS, ZERO, quantise, quantise_tables, quantised_rows
from core.export.sessions import OnnxModel

ROWS, WIDTH = 512, 32


def test_a_row_is_its_scale_times_small_integers() -> None:
    table = np.random.default_rng(0).normal(size=(ROWS, WIDTH)).astype(np.float32)
    table[3] *= 100
    table[7] = 0
    rows, scales = quantised_rows(table)
    assert rows.dtype == np.uint8
    steps = rows.astype(int) - ZERO
    assert np.abs(steps).max() == LEVELS
    # Rounding moves each number by half a step at most, and a large row does not coarsen the others.
    assert (np.abs(steps * scales - table) <= scales / 2 * 1.001).all()
    assert scales[0] < 0.1 < scales[3]
    assert (steps[7] == 0).all()


def tied(folder: Path, other_use: str | None = None) -> Path:
    """Logits of looked-up rows against all rows: a language model without blocks."""
    table = np.random.default_rng(0).normal(size=(ROWS, WIDTH)).astype(np.float32)
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["states"], "lookup"),
             helper.make_node("Transpose", ["table"], ["columns"], "turn", perm=[1, 0]),
             helper.make_node("MatMul", ["states", "columns"], ["products" if other_use else "logits"], "head")]
    if other_use:
        nodes += [helper.make_node(other_use, ["table"], ["all"], "other", keepdims=0),
                  helper.make_node("Add", ["products", "all"], ["logits"])]
    given = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"]) for name in ("input_ids", "attention_mask")]
    graph = helper.make_graph(nodes, "tied", given, [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "length", ROWS])],
                              [numpy_helper.from_array(table, "table")])
    path = folder / "tied.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def test_one_table_serves_lookup_and_head(tmp_path: Path) -> None:
    source = tied(tmp_path)
    quantise(source, tmp_path / "int8.onnx")
    stored = onnx.load(tmp_path / "int8.onnx").graph.initializer
    assert [list(tensor.dims) for tensor in stored if tensor.data_type == TensorProto.UINT8] == [[ROWS, WIDTH]]
    assert (tmp_path / "int8.onnx").stat().st_size < 0.4 * source.stat().st_size
    assert not [tensor.name for tensor in stored if tensor.data_type == TensorProto.INT8], "signed weights may saturate"
    ids = np.arange(24, dtype=np.int64).reshape(2, 12)
    exact, rounded = (OnnxModel(path)(ids, np.ones_like(ids)) for path in (source, tmp_path / "int8.onnx"))
    assert 0 < np.abs(exact - rounded).max() < 0.03 * np.abs(exact).max()
    assert (exact.argmax(-1) == rounded.argmax(-1)).all()


def test_a_table_with_another_use_stays(tmp_path: Path) -> None:
    model = onnx.load(tied(tmp_path, "ReduceSum"))
    before = model.SerializeToString(deterministic=True)
    quantise_tables(model.graph)
    assert model.SerializeToString(deterministic=True) == before


def test_a_small_table_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.export.quantisation.SMALLEST_TABLE", ROWS * WIDTH + 1)
    model = onnx.load(tied(tmp_path))
    quantise_tables(model.graph)
    assert [tensor.name for tensor in model.graph.initializer] == ["table"]
