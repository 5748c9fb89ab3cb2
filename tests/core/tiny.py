"""Tiny random models of every supported architecture, for tests."""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    BertConfig,
    DistilBertConfig,
    ElectraConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    ModernBertConfig,
    OPTConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
    RobertaConfig,
)

VOCABULARY, WIDTH, POSITIONS = 97, 32, 64
_IDS: dict[str, Any] = {"vocab_size": VOCABULARY, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 1}
_GATED: dict[str, Any] = {**_IDS, "hidden_size": WIDTH, "intermediate_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2,
                          "max_position_embeddings": POSITIONS}

# "opt-350m" stands for the variant with norms after the blocks and projections between two widths.
ARCHITECTURES = ("gpt2", "llama", "qwen2", "qwen3", "gpt_neox", "opt", "opt-350m")
ENCODERS = ("bert", "roberta", "distilbert", "electra", "modernbert")


def tiny_encoder_config(name: str, layers: int = 4, tied: bool = True) -> PreTrainedConfig:
    shared: dict[str, Any] = {"vocab_size": VOCABULARY, "pad_token_id": 1, "tie_word_embeddings": tied,
                              "max_position_embeddings": POSITIONS}
    usual = {**shared, "hidden_size": WIDTH, "intermediate_size": 48, "num_attention_heads": 4, "num_hidden_layers": layers}
    match name:
        case "bert":
            return BertConfig(**usual)
        case "roberta":
            return RobertaConfig(**usual, type_vocab_size=1)
        case "electra":
            return ElectraConfig(**usual, embedding_size=16)
        case "modernbert":
            return ModernBertConfig(**usual, cls_token_id=2, sep_token_id=3, bos_token_id=2, eos_token_id=3)
        case "distilbert":
            return DistilBertConfig(**shared, dim=WIDTH, hidden_dim=48, n_heads=4, n_layers=layers)
    raise ValueError(name)


def tiny_encoder(name: str, layers: int = 4, tied: bool = True, seed: int = 0, spread: float = 0.2) -> PreTrainedModel:
    """As `tiny_model`, with a masked-language head."""
    torch.manual_seed(seed)
    return _disturbed(AutoModelForMaskedLM.from_config(tiny_encoder_config(name, layers, tied)), spread)


def tiny_config(name: str, layers: int = 4, tied: bool = True) -> PreTrainedConfig:
    depth: dict[str, Any] = {"num_hidden_layers": layers, "tie_word_embeddings": tied}
    opt = {**_IDS, "hidden_size": WIDTH, "ffn_dim": 48, "num_attention_heads": 4, "max_position_embeddings": POSITIONS, **depth}
    match name:
        case "gpt2":
            return GPT2Config(**_IDS, n_embd=WIDTH, n_layer=layers, n_head=4, n_positions=POSITIONS, tie_word_embeddings=tied)
        case "llama":
            return LlamaConfig(**_GATED, **depth)
        case "qwen2":
            return Qwen2Config(**_GATED, **depth)
        case "qwen3":
            return Qwen3Config(**_GATED, head_dim=16, **depth)
        case "gpt_neox":
            return GPTNeoXConfig(**_IDS, hidden_size=WIDTH, intermediate_size=48, num_attention_heads=4,
                                 max_position_embeddings=POSITIONS, **depth)
        case "opt":
            return OPTConfig(**opt, word_embed_proj_dim=WIDTH)
        case "opt-350m":
            return OPTConfig(**opt, word_embed_proj_dim=16, do_layer_norm_before=False)
    raise ValueError(name)


def tiny_model(name: str, layers: int = 4, tied: bool = True, seed: int = 0, spread: float = 0.2) -> PreTrainedModel:
    """A model in evaluation mode whose every parameter is random, norms and biases included, so that any mix-up shows."""
    torch.manual_seed(seed)
    return _disturbed(AutoModelForCausalLM.from_config(tiny_config(name, layers, tied)), spread)


def _disturbed(model: PreTrainedModel, spread: float) -> PreTrainedModel:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * spread)
    return model.eval()


def token_ids(rows: int = 2, length: int = 12, seed: int = 1) -> torch.Tensor:
    return torch.randint(2, VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(seed))


def logits(model: torch.nn.Module, input_ids: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=input_ids, use_cache=False).logits
