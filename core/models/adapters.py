"""Low-rank adapters (LoRA, 2106.09685): put into a model, and merged into its weights."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import nn

from core.config import LoraSpec
from core.models.architectures import (
    architecture_of,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def merged(model: nn.Module) -> PreTrainedModel:
    """The plain model to save: adapters, if any, added into a copy of the weights; `model` itself stays as it is."""
    from accelerate.utils import extract_model_from_parallel
    from peft import PeftModel

    model = extract_model_from_parallel(model, keep_torch_compile=False)
    return copy.deepcopy(model).merge_and_unload() if isinstance(model, PeftModel) else model


def _with_adapters(model: PreTrainedModel, spec: LoraSpec) -> nn.Module:
    from peft import LoraConfig, TaskType, get_peft_model

    anatomy = architecture_of(model.config)
    return get_peft_model(model, LoraConfig(
        r=spec.rank, lora_alpha=spec.alpha, lora_dropout=spec.dropout, target_modules=list(anatomy.projections),
        fan_in_fan_out=anatomy.transposed, task_type=TaskType.CAUSAL_LM if anatomy.objective == "causal" else None))


def with_adapters(model: PreTrainedModel, spec: LoraSpec, seed: int) -> nn.Module:
    """Low-rank adapters in the blocks; the parts outside of them that are the task's own are trained in full."""
    from peft import LoraConfig, get_peft_model

    anatomy = architecture_of(model.config)
    own = [name for name, module in model.named_children() if name != anatomy.base and any(True for _ in module.parameters())]
    pooler = ["pooler"] if getattr(model.get_submodule(anatomy.base), "pooler", None) is not None else []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return get_peft_model(model, LoraConfig(r=spec.rank, lora_alpha=spec.alpha, lora_dropout=spec.dropout,
                                                target_modules=list(anatomy.projections), modules_to_save=[*own, *pooler])).train()
