"""Exported files that answer: onnxruntime on the processor, called like a function."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import CorruptModelError
from core.export.graph import OUTPUT
from core.system.devices import is_out_of_memory

if TYPE_CHECKING:
    import numpy as np


class OnnxModel:
    """An exported file in memory: ``model(input_ids, attention_mask) -> logits``.

    Attributes:
        path: the file.
        bytes: its size on disk.
        inputs: names of the graph's inputs.

    Args:
        path: a file that this package exported.
        threads: that it computes with; one makes latencies comparable with those of other engines.

    Raises:
        CorruptModelError: onnxruntime cannot read the file.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3  # errors; its warnings are about how it optimises
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions have no common root of their own
            if is_out_of_memory(error):
                raise
            raise CorruptModelError(f"'{path}' is no ONNX file that can be run: {str(error).strip().splitlines()[0][:300]}", "",
                                    "Export the model again.") from error
        self.path, self.bytes = path, path.stat().st_size
        self.inputs = tuple(given.name for given in self._session.get_inputs())

    def __call__(self, input_ids: np.ndarray, attention_mask: np.ndarray, token_type_ids: np.ndarray | None = None) -> np.ndarray:
        """Compute int64 (B, T) each -> float32 logits, (B, T, V) of a language model, (B, labels) of a classifier.

        `token_type_ids` are zeros by default, and not used by a graph that has no such input.
        """
        import numpy as np

        feed = {"input_ids": input_ids, "attention_mask": attention_mask}
        if "token_type_ids" in self.inputs:
            feed["token_type_ids"] = np.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        return self._session.run([OUTPUT], feed)[0]
