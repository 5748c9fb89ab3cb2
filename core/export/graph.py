"""A model as an ONNX graph: token numbers in, logits out, any batch and any length."""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

from core.errors import ExportError, UnsupportedModelError
from core.models.loading import MODEL_INIT_LOCK

if TYPE_CHECKING:
    import onnx
    import torch
    from transformers import PreTrainedModel

    from core.models.checkpoints import Task

EXPORTED = ("masked", "classification", "causal")  # tasks whose heads give logits, one tensor
OUTPUT = "logits"
LARGEST_FILE = 2**31 - 2**20  # bytes; protobuf, the form of ONNX files, ends at 2 GiB
BATCH, LENGTH = 2, 8  # of the example that is traced; both stay open in the graph


def input_names(model: PreTrainedModel) -> tuple[str, ...]:
    """Return the graph's inputs.

    Token types are among them where the model has several, whether its tokenizer writes them or not (RoBERTa has one).
    """
    types = "token_type_ids" in inspect.signature(model.forward).parameters and getattr(model.config, "type_vocab_size", 0) > 1
    return ("input_ids", "attention_mask", *(("token_type_ids",) if types else ()))


def require_exportable(model: PreTrainedModel, task: Task) -> None:
    """Check what shows without writing the graph. Raises UnsupportedModelError: a head without logits, or too large for an ONNX file."""
    if task not in EXPORTED:
        raise UnsupportedModelError(f"The model is a {type(model).__name__}.", f"One of these heads was expected: {', '.join(EXPORTED)}.",
                                    "Export it as a folder: --format folder")
    weights = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    if weights > LARGEST_FILE:
        raise UnsupportedModelError(f"The model's weights take {weights / 2**30:.1f} GiB.", "An ONNX file ends at 2 GiB.",
                                    "Export a smaller model, or use --format folder.")


def to_onnx(model: PreTrainedModel, task: Task, inputs: tuple[str, ...]) -> onnx.ModelProto:
    """Return the float32 graph of a model on the processor in float32 and evaluation mode.

    A matrix that embedding and output head share is stored once: the head reads it through a Transpose, which runtimes
    carry out when they load the file.

    Args:
        task: what its head is for.
        inputs: as `input_names` gives them; all int64 ``(batch, length)``. The output is ``logits``.

    Raises:
        ExportError: an operator, or a step that depends on values, has no form in ONNX.
        UnsupportedModelError: as `require_exportable`.
    """
    import torch

    require_exportable(model, task)
    example = tuple(torch.ones(BATCH, LENGTH, dtype=torch.int64) for _ in inputs)
    with MODEL_INIT_LOCK, torch.no_grad(), _plain_attention(model), _quiet():
        try:
            program = torch.onnx.export(
                _logits_only(model, task, inputs), example, dynamo=True, verbose=False, input_names=inputs, output_names=[OUTPUT],
                dynamic_shapes={"values": tuple({0: "batch", 1: "length"} for _ in inputs)})
        except (torch.onnx.OnnxExporterError, torch.onnx.errors.UnsupportedOperatorError) as error:
            raise _refusal(model, error) from error
    assert program is not None, "the dynamo exporter returns its program"
    proto = program.model_proto
    _strip(proto)
    return proto


def _refusal(model: PreTrainedModel, error: BaseException) -> ExportError:
    """Return what the exporter said, by its innermost cause: the outer layers advise on how to report a bug."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return ExportError(f"{type(model).__name__} cannot be written as ONNX: {lines[0][:300]}",
                       "A model whose every operator has a form in ONNX was expected.", "Export it as a folder: --format folder")


def _logits_only(model: PreTrainedModel, task: Task, inputs: tuple[str, ...]) -> torch.nn.Module:
    """Return the model as a function of its inputs in order, with its logits alone as the result."""
    import torch

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model
            self.options = {"use_cache": False} if task == "causal" else {}

        def forward(self, *values: torch.Tensor) -> torch.Tensor:
            return self.model(**dict(zip(inputs, values, strict=True)), **self.options).logits

    return Logits().eval()


@contextlib.contextmanager
def _plain_attention(model: PreTrainedModel) -> Iterator[None]:
    """Write attention out as products and a softmax within this context.

    That is a fifth fewer nodes than torch's fused operator becomes in ONNX, which guards each softmax against rows without a single
    allowed position, and measurably faster.
    """
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the exporter reports of its progress and of packages that it could use; its failures come as exceptions."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _strip(proto: onnx.ModelProto) -> None:
    """Take out what no runtime reads: the Python stack behind every node, with the paths of this machine, and inner shapes."""
    graph = proto.graph
    for part in (proto, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    del graph.value_info[:]
