"""Add low-rank adapters (LoRA, 2106.09685) to a model, and merge them into its weights."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from core.config import LoraSpec
from core.models.architectures import ArchitectureSpec, architecture_of

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import PreTrainedModel


def add_adapters(model: PreTrainedModel, spec: LoraSpec) -> nn.Module:
    """Put adapters beside the projections of a language model's blocks; only they are trained."""
    from peft import TaskType, get_peft_model

    architecture = architecture_of(model.config)
    return get_peft_model(model, _lora_config(spec, architecture, fan_in_fan_out=architecture.fan_in_fan_out,
                                              task_type=TaskType.CAUSAL_LM if architecture.objective == "causal" else None))


def add_task_adapters(model: PreTrainedModel, spec: LoraSpec, seed: int) -> nn.Module:
    """Put adapters beside the projections of a classifier's or question answerer's blocks, and train its head and pooler in full.

    Args:
        seed: of the adapters' weights; torch's generator is left as it was.
    """
    from peft import get_peft_model

    architecture = architecture_of(model.config)
    heads = [name for name, module in model.named_children()
             if name != architecture.base and any(True for _ in module.parameters())]
    pooler = ["pooler"] if getattr(model.get_submodule(architecture.base), "pooler", None) is not None else []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return get_peft_model(model, _lora_config(spec, architecture, modules_to_save=[*heads, *pooler])).train()


def _lora_config(spec: LoraSpec, architecture: ArchitectureSpec, **options: Any) -> LoraConfig:
    """Return adapters beside the projections of every block; `options`: other settings of `LoraConfig`."""
    from peft import LoraConfig

    return LoraConfig(
        r=spec.rank, lora_alpha=spec.alpha,  # type: ignore[arg-type]  # peft divides it by the rank: it need not be a whole number
        lora_dropout=spec.dropout, target_modules=list(architecture.projections), **options)


def merge_adapters(model: nn.Module) -> PreTrainedModel:
    """Return the plain model to save, with adapters added into a copy of the weights; without adapters, the model itself."""
    from accelerate.utils import extract_model_from_parallel
    from peft import PeftModel
    from transformers import PreTrainedModel

    inner = extract_model_from_parallel(model, keep_torch_compile=False)
    plain = copy.deepcopy(inner).merge_and_unload() if isinstance(inner, PeftModel) else inner
    assert isinstance(plain, PreTrainedModel)
    return plain
