"""Dynamic int8 quantisation of an ONNX graph: weights as int8 beforehand, activations as uint8 at every call.

Matrix products are rewritten by onnxruntime, x W ~ s_x s_W (X - z_x) Q: weights by column, activations by tensor. The embedding
tables are rewritten here, because onnxruntime gives a table one scale for all its rows, and would keep a second copy of one
that the output head shares. A row is a token: e_v ~ s_v Q_v, with s_v = max|e_v| / 64. The head of a tied model reads the
same rows as the columns of its matrix, h E^T ~ s_h (H - z_h) Q^T s, so that one int8 table serves both.

Weights use 7 of the 8 bits, -64 to 64. Processors without VNNI instructions add two products in 16 bits, with saturation:
2 * 255 * 64 = 32,640 fits, 2 * 255 * 127 does not, and whose processor will run the file is not known. What that costs, and what
else was tried, on an encoder of 4 blocks briefly trained on film reviews (21.6 MB in float32; 357 blanks: mean difference of
probabilities, largest difference of logits; one text of 32 tokens on a processor with VNNI):

    this                                       5.6 MB    0.0010    0.14     1.3 ms
    8 bits                                     5.6 MB    0.0010    0.13     1.3 ms
    8 bits unsigned, which never saturates     5.6 MB    0.0009    0.13     1.5 ms
    one scale a matrix instead of a column     5.5 MB    0.0011    0.17     1.3 ms
    tables left in float32                    12.0 MB    0.0002    0.03     1.9 ms
"""

from __future__ import annotations

import logging
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import onnx

SMALLEST_TABLE = 2**13  # numbers; a smaller one, as of two token types, is not worth its rounding
LEVELS = 64  # symmetric, 7 bits


def quantise(source: Path, target: Path) -> None:
    """Write the int8 form of the float file `source` to `target`."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it recommends a step that the exporter has already taken
    try:
        quantize_dynamic(source, target, op_types_to_quantize=["MatMul", "Gemm"], per_channel=True, reduce_range=True,
                         weight_type=QuantType.QInt8)
    finally:
        root.setLevel(level)
    model = onnx.load(target)
    quantise_tables(model.graph)
    onnx.save(model, target)


def quantise_tables(graph: onnx.GraphProto) -> None:
    """Put int8 rows with a scale each in place of the float tables that are only looked up, or also are the head's matrix."""
    from onnx import numpy_helper

    uses: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            uses[name].append(node)
    for tensor in [tensor for tensor in graph.initializer if len(tensor.dims) == 2]:
        users = uses[tensor.name]
        heads = [node for node in users if node.op_type == "Transpose" and _is_matrix_of_products(node, uses)]
        lookups = [node for node in users if node.op_type == "Gather" and node.input[0] == tensor.name and not _attribute(node, "axis")]
        table = numpy_helper.to_array(tensor)
        if table.dtype != "float32" or table.size < SMALLEST_TABLE or len(heads) + len(lookups) < len(users) or not users:
            continue
        _Table(graph, tensor, table).replace(lookups, [(head, uses[head.output[0]]) for head in heads])


class _Table:
    """One table on its way into int8."""

    def __init__(self, graph: onnx.GraphProto, tensor: onnx.TensorProto, table: np.ndarray) -> None:
        from onnx import numpy_helper

        rows, scales = quantised_rows(table)
        self._graph = graph
        self._rows, self._scales = f"{tensor.name}_rows", f"{tensor.name}_scales"
        graph.initializer.remove(tensor)
        graph.initializer.extend([numpy_helper.from_array(rows, self._rows), numpy_helper.from_array(scales, self._scales)])

    def replace(self, lookups: list[onnx.NodeProto], heads: list[tuple[onnx.NodeProto, list[onnx.NodeProto]]]) -> None:
        for node in lookups:
            self._put(node, self._lookup(node))
        for transpose, products in heads:
            for product in products:
                self._put(product, self._product(product))
            self._graph.node.remove(transpose)

    def _lookup(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """(..., ) token numbers -> (..., D): the row times its scale."""
        from onnx import TensorProto, helper

        name, (_, tokens), (out,) = node.name, node.input, node.output
        return [helper.make_node("Gather", [self._rows, tokens], [f"{out}_int8"], f"{name}_rows"),
                helper.make_node("Cast", [f"{out}_int8"], [f"{out}_unscaled"], f"{name}_cast", to=TensorProto.FLOAT),
                helper.make_node("Gather", [self._scales, tokens], [f"{out}_scale"], f"{name}_scales"),
                helper.make_node("Mul", [f"{out}_unscaled", f"{out}_scale"], [out], f"{name}_scaled")]

    def _product(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """(..., D) states -> (..., V) logits. The two Transposes are of constants: runtimes carry them out once."""
        from onnx import TensorProto, helper

        name, (states, _), (out,) = node.name, node.input, node.output
        return [helper.make_node("DynamicQuantizeLinear", [states], [f"{out}_states", f"{out}_step", f"{out}_zero"], f"{name}_states"),
                helper.make_node("Transpose", [self._rows], [f"{out}_columns"], f"{name}_columns", perm=[1, 0]),
                helper.make_node("Transpose", [self._scales], [f"{out}_column_scales"], f"{name}_column_scales", perm=[1, 0]),
                helper.make_node("MatMulInteger", [f"{out}_states", f"{out}_columns", f"{out}_zero"], [f"{out}_int32"], f"{name}_int8"),
                helper.make_node("Cast", [f"{out}_int32"], [f"{out}_unscaled"], f"{name}_cast", to=TensorProto.FLOAT),
                helper.make_node("Mul", [f"{out}_step", f"{out}_column_scales"], [f"{out}_scale"], f"{name}_scale"),
                helper.make_node("Mul", [f"{out}_unscaled", f"{out}_scale"], [out], f"{name}_scaled")]

    def _put(self, node: onnx.NodeProto, nodes: list[onnx.NodeProto]) -> None:
        place = list(self._graph.node).index(node)
        self._graph.node.remove(node)
        for offset, new in enumerate(nodes):
            self._graph.node.insert(place + offset, new)


def quantised_rows(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int8 rows (V, D) and float32 scales (V, 1) of a float table; a row of zeros has the scale 1."""
    import numpy as np

    scales = np.abs(table).max(axis=1, keepdims=True) / LEVELS
    scales[scales == 0] = 1
    return np.rint(table / scales).astype(np.int8), scales.astype(np.float32)


def _is_matrix_of_products(transpose: onnx.NodeProto, uses: dict[str, list[onnx.NodeProto]]) -> bool:
    """Whether it is a plain transposition that only serves as the right factor of products."""
    products = uses[transpose.output[0]]
    return (_attribute(transpose, "perm") == [1, 0] and bool(products)
            and all(node.op_type == "MatMul" and node.input[1] == transpose.output[0] for node in products))


def _attribute(node: onnx.NodeProto, name: str) -> int | list[int] | None:
    from onnx import helper

    return next((helper.get_attribute_value(attribute) for attribute in node.attribute if attribute.name == name), None)
