"""The architectures that predict the next token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from core.models.architecture_spec import ArchitectureSpec, Variant
from core.models.families import axes

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

_ATTENTION = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")
_GATED_MLP = ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
_NEOX_PROJECTIONS = ("mlp.dense_h_to_4h", "mlp.dense_4h_to_h")
_GPT2_DROPOUT = ("attn_pdrop", "embd_pdrop", "resid_pdrop")
_ALIBI = "ALiBi gives each head a slope by its number among all heads, so that heads cannot be left out or added."


def _llama_like(model_type: str, family: str, **differences: Any) -> ArchitectureSpec:
    return ArchitectureSpec(model_type, family, **{
        "base": "model", "blocks": "model.layers", "embeddings": "model.embed_tokens", "positions": None, "final_norm": "model.norm",
        "projections": (*_ATTENTION, *_GATED_MLP), "axes": axes.LLAMA, "key_value_heads_key": "num_key_value_heads",
        "head_size_key": "head_dim", **differences})


def _moe_blocks(config: PreTrainedConfig, layer_map: Sequence[int]) -> Mapping[str, Any]:
    """Name the blocks without experts one by one: every so many, as the configuration has it, holds for no other depth."""
    dense = [block in config.mlp_only_layers or (block + 1) % config.decoder_sparse_step != 0 for block in layer_map]
    return {"mlp_only_layers": [position for position, is_dense in enumerate(dense) if is_dense], "decoder_sparse_step": 1}


def _neo_attention(config: PreTrainedConfig, layer_map: Sequence[int]) -> Mapping[str, Any]:
    """Write GPT-Neo's kinds of attention once more in the form that its configuration is read from."""
    return {"attention_types": [[[config.attention_layers[block] for block in layer_map], 1]]}


def _attention_positions(config: PreTrainedConfig, layer_map: Sequence[int]) -> Mapping[str, Any]:
    """Give LFM2's list of blocks with attention, which its ``layer_types`` say as well."""
    return {"full_attn_idxs": [position for position, block in enumerate(layer_map) if config.layer_types[block] == "full_attention"]}


_QWEN_LISTS: dict[str, Any] = {"per_block_keys": ("layer_types",), "threshold_keys": ("max_window_layers",)}
_GEMMA: dict[str, Any] = {"tied_by_default": True, "per_block_keys": ("layer_types",), "axes": axes.GEMMA,
                          "logit_softcap_key": "final_logit_softcapping"}
_COHERE: dict[str, Any] = {"tied_by_default": True, "norms_subtract_mean": True, "axes": axes.COHERE, "logit_scale_key": "logit_scale"}

DECODERS = (
    _llama_like("llama", "Llama"),
    _llama_like("qwen2", "Qwen2", **_QWEN_LISTS),
    _llama_like("qwen3", "Qwen3", activation_factor=1.35, **_QWEN_LISTS),
    _llama_like("mistral", "Mistral"),
    _llama_like("gemma2", "Gemma 2", activation_factor=1.4, attention_factor=2.0, **_GEMMA),
    _llama_like("gemma3_text", "Gemma 3 (text)", activation_factor=1.5, **_GEMMA),
    _llama_like("phi3", "Phi-3", projections=("self_attn.qkv_proj", "self_attn.o_proj", "mlp.gate_up_proj", "mlp.down_proj"),
                axes=axes.PHI3, activation_factor=1.5, dropout_keys=("attention_dropout", "embd_pdrop", "resid_pdrop")),
    # Experts are tensors of three dimensions, so adapters stand beside attention alone. What eight experts of a token keep for the
    # backward pass is three times what attention keeps (sizes of Qwen3-30B-A3B).
    _llama_like("qwen3_moe", "Qwen3-MoE", projections=_ATTENTION, axes={}, activation_factor=5.0, further_keys=_moe_blocks,
                experts_key="num_experts", active_experts_key="num_experts_per_tok", synonyms={"num_experts": "num_local_experts"},
                width_refusal="Its experts are not described channel by channel."),
    _llama_like("smollm3", "SmolLM3", tied_by_default=True, per_block_keys=("layer_types", "no_rope_layers")),
    _llama_like("olmo2", "OLMo 2", activation_factor=1.3, axes=axes.OLMO2),
    _llama_like("granite", "Granite", logit_divisor_key="logits_scaling"),
    _llama_like("lfm2", "LFM2", tied_by_default=True, activation_factor=1.3, final_norm="model.embedding_norm",
                projections=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "conv.in_proj",
                             "conv.out_proj", "feed_forward.w1", "feed_forward.w2", "feed_forward.w3"),
                per_block_keys=("layer_types",), needed_kind=("layer_types", "full_attention"), further_keys=_attention_positions, axes={},
                width_refusal="Its convolutions are not described channel by channel.", head_size_key=None, dropout_keys=()),
    _llama_like("stablelm", "StableLM", activation_factor=1.1, norms_subtract_mean=True, head_size_key=None,
                dropout_keys=("attention_dropout", "hidden_dropout")),
    _llama_like("starcoder2", "StarCoder2", tied_by_default=True, activation_factor=1.0, norms_subtract_mean=True, axes=axes.STARCODER2,
                projections=(*_ATTENTION, "mlp.c_fc", "mlp.c_proj"),
                dropout_keys=("attention_dropout", "residual_dropout", "embedding_dropout")),
    _llama_like("cohere", "Cohere Command R", activation_factor=1.2, **_COHERE),
    _llama_like("cohere2", "Cohere Command R7B", per_block_keys=("layer_types",), **_COHERE),
    ArchitectureSpec(
        "gpt2", "GPT-2", base="transformer", blocks="transformer.h", embeddings="transformer.wte", positions="transformer.wpe",
        final_norm="transformer.ln_f", projections=("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"),
        tied_by_default=True, fan_in_fan_out=True, depth_key="n_layer", width_key="n_embd", heads_key="n_head",
        context_key="n_positions", activation_factor=1.9, dropout_keys=_GPT2_DROPOUT,
        buffer_pattern=r"\.attn\.(masked_)?bias$", axes=axes.GPT2, norms_subtract_mean=True, intermediate_size_key="n_inner"),
    ArchitectureSpec(
        "gptj", "GPT-J", base="transformer", blocks="transformer.h", embeddings="transformer.wte", positions=None,
        final_norm="transformer.ln_f",
        projections=("attn.q_proj", "attn.k_proj", "attn.v_proj", "attn.out_proj", "mlp.fc_in", "mlp.fc_out"),
        depth_key="n_layer", width_key="n_embd", heads_key="n_head", context_key="n_positions", dropout_keys=_GPT2_DROPOUT,
        activation_factor=1.35, attention_factor=1.0, blocks_return_tuples=True,
        buffer_pattern=r"\.attn\.(masked_bias|bias|embed_positions)$", axes=axes.GPT_J, norms_subtract_mean=True,
        intermediate_size_key="n_inner"),
    ArchitectureSpec(
        "gpt_neo", "GPT-Neo", base="transformer", blocks="transformer.h", embeddings="transformer.wte", positions="transformer.wpe",
        final_norm="transformer.ln_f", tied_by_default=True,
        projections=("attn.attention.q_proj", "attn.attention.k_proj", "attn.attention.v_proj", "attn.attention.out_proj", "mlp.c_fc",
                     "mlp.c_proj"),
        depth_key="num_layers", heads_key="num_heads", per_block_keys=("attention_layers",), further_keys=_neo_attention,
        dropout_keys=("attention_dropout", "embed_dropout", "resid_dropout"), activation_factor=1.75, attention_factor=0.5,
        blocks_return_tuples=True, buffer_pattern=r"\.attn\.attention\.(masked_)?bias$", axes=axes.GPT_NEO, norms_subtract_mean=True),
    ArchitectureSpec(
        "gpt_neox", "GPT-NeoX", base="gpt_neox", blocks="gpt_neox.layers", embeddings="gpt_neox.embed_in", positions=None,
        final_norm="gpt_neox.final_layer_norm", legacy_heads=("embed_out",),
        projections=("attention.query_key_value", "attention.dense", *_NEOX_PROJECTIONS),
        dropout_keys=("attention_dropout", "hidden_dropout"), buffer_pattern=r"\.attention\.(masked_bias|bias)$|rotary_emb\.inv_freq$",
        axes=axes.GPT_NEOX, norms_subtract_mean=True),
    ArchitectureSpec(
        "bloom", "BLOOM", base="transformer", blocks="transformer.h", embeddings="transformer.word_embeddings", positions=None,
        final_norm="transformer.ln_f", tied_by_default=True, depth_key="n_layer", heads_key="n_head",
        synonyms={"hidden_size": "n_embed", "n_layer": "num_hidden_layers", "n_head": "num_attention_heads"},
        projections=("self_attention.query_key_value", "self_attention.dense", *_NEOX_PROJECTIONS),
        context_key="seq_length", default_context=2048,  # ALiBi has no longest sequence; 2,048 tokens were trained on (2211.05100)
        dropout_keys=("attention_dropout", "hidden_dropout"), norms_subtract_mean=True, blocks_return_tuples=True,
        activation_factor=1.05, attention_factor=1.0, width_refusal=_ALIBI),
    ArchitectureSpec(
        "falcon", "Falcon", base="transformer", blocks="transformer.h", embeddings="transformer.word_embeddings", positions=None,
        final_norm="transformer.ln_f", tied_by_default=True, synonyms={"hidden_size": "n_embed"}, default_context=2048,
        projections=("self_attention.query_key_value", "self_attention.dense", *_NEOX_PROJECTIONS),
        dropout_keys=("attention_dropout", "hidden_dropout"), norms_subtract_mean=True, intermediate_size_key="ffn_hidden_size",
        activation_factor=1.0, blocks_return_tuples=True,
        width_refusal="Its queries, keys and values share a matrix in three layouts, which are not described head by head.",
        variants=(Variant(lambda config: bool(config.get("new_decoder_architecture")), {"key_value_heads_key": "num_kv_heads"}),
                  Variant(lambda config: config.get("multi_query") is not False and not config.get("new_decoder_architecture"),
                          {"key_value_heads": 1, "attention_factor": 1.0}))),
    ArchitectureSpec(
        "opt", "OPT", base="model", blocks="model.decoder.layers", embeddings="model.decoder.embed_tokens",
        positions="model.decoder.embed_positions", final_norm="model.decoder.final_layer_norm", tied_by_default=True,
        projections=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "fc1", "fc2"),
        activation_factor=0.8, dropout_keys=("attention_dropout", "dropout", "layerdrop"), norms_subtract_mean=True,
        intermediate_size_key="ffn_dim", width_refusal="Its embedding may have a width of its own, between projections."),
)
