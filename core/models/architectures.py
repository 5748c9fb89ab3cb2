"""The architecture of a configuration or a model, and what its spec answers about either.

`core.models.architecture_spec` says what a spec holds, `core.models.families` holds one for each architecture.
"""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from core.errors import UnsupportedModelError
from core.models.architecture_spec import ArchitectureSpec, Objective
from core.models.families import ARCHITECTURE_SPECS

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedConfig, PreTrainedModel

__all__ = ["ARCHITECTURE_SPECS", "ArchitectureSpec", "Objective", "architecture_of", "blocks", "head_weight", "is_tied", "label_names",
           "on_device", "plain_model", "with_blocks", "with_dropout", "with_tying", "without_block"]

ModelT = TypeVar("ModelT", bound="nn.Module")


def architecture_of(config: PreTrainedConfig | Mapping[str, Any]) -> ArchitectureSpec:
    """Return the spec of a configuration's architecture; the configuration is an object or the plain data of ``config.json``.

    Raises:
        UnsupportedModelError: an architecture that is not described here.
    """
    model_type = config.get("model_type") if isinstance(config, Mapping) else config.model_type
    spec = ARCHITECTURE_SPECS.get(model_type) if isinstance(model_type, str) else None
    if spec is None:
        sibling = _sibling(model_type, config if isinstance(config, Mapping) else config.to_dict())
        raise UnsupportedModelError(f"The model's architecture is '{model_type}'.",
                                    f"One of {', '.join(sorted(ARCHITECTURE_SPECS))} was expected.",
                                    f"Choose a model of one of these families{sibling}.")
    return spec.variant_of(config if isinstance(config, Mapping) else config.to_dict()) if spec.variants else spec


def _sibling(model_type: Any, config: Mapping[str, Any]) -> str:
    """Return a hint at the supported family that an unknown one is closest to: by its name, else by the keys of its sizes; or nothing."""
    name, inner = str(model_type), config.get("text_config")
    if isinstance(inner, Mapping) and inner.get("model_type") in ARCHITECTURE_SPECS:
        return f"; this one holds a {inner['model_type']} model beside other parts, and one saved alone could be used"
    stem = _stem(name)
    related = [known for known in ARCHITECTURE_SPECS if len(stem) > 2 and _stem(known) == stem]
    near = difflib.get_close_matches(name, related or list(ARCHITECTURE_SPECS), n=1, cutoff=0.0 if related else 0.8)
    if near:
        return f", as {near[0]}, its nearest relative"
    keys = ("num_key_value_heads", "intermediate_size", "rms_norm_eps", "hidden_size", "num_hidden_layers")
    return ", as llama, which has the same sizes in its configuration" if all(key in config for key in keys) else ""


def _stem(model_type: str) -> str:
    """Return the letters that a model type begins with: gemma of gemma3_text."""
    return re.sub(r"[^a-z].*", "", model_type.lower(), flags=re.DOTALL)


def with_blocks(config: PreTrainedConfig, layer_map: Sequence[int]) -> PreTrainedConfig:
    """Return a copy of a configuration for a student that keeps the blocks of `layer_map`, in that order.

    Dropout of a decoder is set to 0: soft targets regularise by themselves, and dropout lowers the agreement with the teacher.
    An encoder keeps its teacher's, as DistilBERT does (1910.01108, section 3).

    Raises:
        ConfigError: as `ArchitectureSpec.require_valid_layer_map`.
    """
    architecture, result = architecture_of(config), copy.deepcopy(config)
    architecture.require_valid_layer_map(layer_map, config.to_dict())
    setattr(result, architecture.depth_key, len(layer_map))
    for key in architecture.per_block_keys:
        listed = getattr(config, key, None)
        if listed is not None:
            setattr(result, key, [listed[block] for block in layer_map])
    if architecture.further_keys is not None:
        for key, value in architecture.further_keys(config, layer_map).items():
            setattr(result, key, value)
    if architecture.objective == "causal":
        for key in architecture.dropout_keys:
            setattr(result, key, 0.0)
    for key in architecture.threshold_keys:
        setattr(result, key, sum(block < getattr(config, key) for block in layer_map))
    return result


def with_tying(config: PreTrainedConfig, tied: bool) -> PreTrainedConfig:
    """Return a copy with this tying: a checkpoint may keep two matrices although its configuration says tied."""
    result = copy.deepcopy(config)
    result.tie_word_embeddings = tied
    return result


def with_dropout(config: PreTrainedConfig, rate: float | None) -> PreTrainedConfig:
    """Return a copy with one rate for all kinds of dropout; None keeps the rates."""
    result = copy.deepcopy(config)
    for key in architecture_of(config).dropout_keys if rate is not None else ():
        setattr(result, key, rate)
    return result


def label_names(config: PreTrainedConfig) -> list[str]:
    """Return what a classifier calls its classes, in the order of its outputs; empty for a configuration without classes."""
    names = {int(number): str(name) for number, name in (config.id2label or {}).items()}
    return [names[number] for number in sorted(names)]


def is_tied(model: PreTrainedModel) -> bool:
    """Return whether the output head shares the token embedding's matrix."""
    return model.get_input_embeddings().get_parameter("weight").data_ptr() == head_weight(model).data_ptr()


def head_weight(model: nn.Module) -> torch.Tensor:
    """Return the matrix (V, D) that a language model's states are multiplied by to give logits."""
    plain = plain_model(model)
    architecture = architecture_of(plain.config)
    module = plain.get_input_embeddings() if architecture.head_input else plain.get_submodule(architecture.head)
    return module.get_parameter("weight")


def plain_model(model: nn.Module) -> PreTrainedModel:
    """Return the language model inside wrappers for several devices, for compilation and for adapters."""
    from accelerate.utils import extract_model_from_parallel
    from peft import PeftModel
    from transformers import PreTrainedModel

    if isinstance(model, PreTrainedModel):  # every step asks; what looks for wrappers searches the packages on disk for DeepSpeed
        return model
    inner = model if isinstance(model, PeftModel) else extract_model_from_parallel(model, keep_torch_compile=False)
    plain = inner.get_base_model() if isinstance(inner, PeftModel) else inner
    assert isinstance(plain, PreTrainedModel)
    return plain


def on_device(model: ModelT, device: torch.device | str) -> ModelT:
    """Return the model, moved to a device; transformers wraps `to` so that its annotation does not say what it takes."""
    return model.to(device)


def blocks(model: nn.Module) -> nn.ModuleList:
    """Return the model's blocks, first to last."""
    from torch import nn

    plain = plain_model(model)
    found = plain.get_submodule(architecture_of(plain.config).blocks)
    assert isinstance(found, nn.ModuleList)
    return found


@contextmanager
def without_block(model: nn.Module, block: int) -> Iterator[None]:
    """Bypass block number `block` inside the context: it returns its input unchanged."""
    from torch import nn

    returns_tuple = architecture_of(plain_model(model).config).blocks_return_tuples

    class PassThrough(nn.Module):
        def forward(self, hidden_states: Any, *args: Any, **kwargs: Any) -> Any:
            return (hidden_states, None) if returns_tuple else hidden_states

    layers = blocks(model)
    kept = layers[block]
    layers[block] = PassThrough()
    vars(layers[block]).update({key: value for key, value in vars(kept).items() if not key.startswith("_")})  # some models read them
    try:
        yield
    finally:
        layers[block] = kept
