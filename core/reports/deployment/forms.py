"""The forms of a model as functions of token ids: torch in float32, and the exported int8 file."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.export import exporting
from core.models.entries import LoadedModel
from core.models.forward import uses_token_types

if TYPE_CHECKING:
    import numpy as np

Inputs = Mapping[str, "np.ndarray"]  # input_ids, attention_mask and, for models that read them, token_type_ids: int64 (B, T)
Predict = Callable[[Inputs], "np.ndarray"]  # -> float32 logits, (B, T, V) or (B, labels)


@dataclass(frozen=True)
class ModelForm:
    """A model in one form.

    Attributes:
        name: a key of `core.reports.deployment.record.FORM_NAMES`.
        loaded: the model in torch, whose tokenizer and labels every form of it shares.
        predict: the form itself.
        bytes: of its weights on disk.
    """

    name: str
    loaded: LoadedModel
    predict: Predict
    bytes: int

    @property
    def token_types(self) -> bool:
        """Whether the model reads token types."""
        return uses_token_types(self.loaded.model)


def torch_form(name: str, loaded: LoadedModel) -> ModelForm:
    """Return a model as it is, in torch."""
    import torch

    model: Any = loaded.model
    options = {"use_cache": False} if "use_cache" in inspect.signature(model.forward).parameters else {}

    def predict(inputs: Inputs) -> np.ndarray:
        with torch.inference_mode():
            return model(**{key: torch.from_numpy(array) for key, array in inputs.items()}, **options).logits.float().numpy()

    return ModelForm(name, loaded, predict, loaded.entry.size_bytes)


def int8_form(name: str, loaded: LoadedModel, reference: str, folder: Path, say: exporting.ProgressCallback) -> ModelForm:
    """Return a model's int8 file, exported into `folder` unless it is there already.

    Raises:
        As `core.export.exporting.export` does.
    """
    from core.export.sessions import OnnxModel

    made = exporting.read_exported(folder) if folder.exists() else exporting.export(
        reference, "onnx-int8", folder, name=loaded.entry.name, say=say)
    assert made.file is not None, "an ONNX export has a file"
    session = OnnxModel(folder / made.file)
    return ModelForm(name, loaded, lambda inputs: session(**inputs), session.bytes)
