"""What the dimensions of parameters run over, for the families whose width can be changed; see `core.models.architecture_spec.AXES`."""

from __future__ import annotations


def linear(name: str, output: str, inputs: str) -> dict[str, str]:
    """Return the axes of a matrix stored (out, in), and of its bias where there is one."""
    return {f"{name}.weight": f"{output} {inputs}", f"{name}.bias": output}


def conv1d(name: str, output: str, inputs: str) -> dict[str, str]:
    """Return the axes of a matrix stored (in, out), as GPT-2's are, and of its bias."""
    return {f"{name}.weight": f"{inputs} {output}", f"{name}.bias": output}


def norm(*names: str) -> dict[str, str]:
    """Return the axes of norms over the channels."""
    return {f"{name}.{part}": axis for name in names for part, axis in (("weight", "norm_weight"), ("bias", "norm_bias"))}


def gemma_norm(*names: str) -> dict[str, str]:
    """Return the axes of norms that multiply by one more than their weight."""
    return {f"{name}.weight": "norm_excess" for name in names}


ATTENTION = {**linear("self_attn.q_proj", "heads", "hidden_in"), **linear("self_attn.k_proj", "kv", "hidden_in"),
             **linear("self_attn.v_proj", "kv", "hidden_in"), **linear("self_attn.o_proj", "hidden_out", "heads")}
GATED_MLP = {**linear("mlp.gate_proj", "intermediate", "hidden_in"), **linear("mlp.up_proj", "intermediate", "hidden_in"),
             **linear("mlp.down_proj", "hidden_out", "intermediate")}
ENDS = {"model.embed_tokens.weight": "- hidden_out", "lm_head.weight": "- hidden_in"}
NORM_OF_EACH_HEAD = {"self_attn.q_norm.weight": "-", "self_attn.k_norm.weight": "-"}

LLAMA = {**ATTENTION, **NORM_OF_EACH_HEAD, **GATED_MLP, **norm("input_layernorm", "post_attention_layernorm", "model.norm"), **ENDS}
# Norms also after attention and feed-forward; the embedding is multiplied by the root of the width.
GEMMA = {**ATTENTION, **NORM_OF_EACH_HEAD, **GATED_MLP, "model.embed_tokens.weight": "- embedded", "lm_head.weight": "- hidden_in",
         **gemma_norm("input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm",
                      "model.norm")}
OLMO2 = {**ATTENTION, **GATED_MLP, "self_attn.q_norm.weight": "heads_norm", "self_attn.k_norm.weight": "kv_norm",
         **norm("post_attention_layernorm", "post_feedforward_layernorm", "model.norm"), **ENDS}
COHERE = {**ATTENTION, **GATED_MLP, "self_attn.q_norm.weight": "query_heads -", "self_attn.k_norm.weight": "kv_heads -",
          **norm("input_layernorm", "model.norm"), **ENDS}
STARCODER2 = {**ATTENTION, **linear("mlp.c_fc", "intermediate", "hidden_in"), **linear("mlp.c_proj", "hidden_out", "intermediate"),
              **norm("input_layernorm", "post_attention_layernorm", "model.norm"), **ENDS}
PHI3 = {**linear("self_attn.qkv_proj", "qkv", "hidden_in"), **linear("self_attn.o_proj", "hidden_out", "heads"),
        **linear("mlp.gate_up_proj", "gate_up", "hidden_in"), **linear("mlp.down_proj", "hidden_out", "intermediate"),
        **norm("input_layernorm", "post_attention_layernorm", "model.norm"), **ENDS}
GPT2 = {**conv1d("attn.c_attn", "qkv", "hidden_in"), **conv1d("attn.c_proj", "hidden_out", "heads"),
        **conv1d("mlp.c_fc", "intermediate", "hidden_in"), **conv1d("mlp.c_proj", "hidden_out", "intermediate"),
        **norm("ln_1", "ln_2", "transformer.ln_f"), "transformer.wte.weight": "- hidden_out", "transformer.wpe.weight": "- hidden_out",
        "lm_head.weight": "- hidden_in"}
GPT_NEO = {**linear("attn.attention.q_proj", "heads", "hidden_in"), **linear("attn.attention.k_proj", "heads", "hidden_in"),
           **linear("attn.attention.v_proj", "heads", "hidden_in"), **linear("attn.attention.out_proj", "hidden_out", "heads"),
           **linear("mlp.c_fc", "intermediate", "hidden_in"), **linear("mlp.c_proj", "hidden_out", "intermediate"),
           **norm("ln_1", "ln_2", "transformer.ln_f"), "transformer.wte.weight": "- hidden_out",
           "transformer.wpe.weight": "- hidden_out", "lm_head.weight": "- hidden_in"}
GPT_J = {**linear("attn.q_proj", "heads", "hidden_in"), **linear("attn.k_proj", "heads", "hidden_in"),
         **linear("attn.v_proj", "heads", "hidden_in"), **linear("attn.out_proj", "hidden_out", "heads"),
         **linear("mlp.fc_in", "intermediate", "hidden_in"), **linear("mlp.fc_out", "hidden_out", "intermediate"),
         **norm("ln_1", "transformer.ln_f"), "transformer.wte.weight": "- hidden_out", **linear("lm_head", "-", "hidden_in")}
GPT_NEOX = {**linear("attention.query_key_value", "qkv_head", "hidden_in"), **linear("attention.dense", "hidden_out", "heads"),
            **linear("mlp.dense_h_to_4h", "intermediate", "hidden_in"), **linear("mlp.dense_4h_to_h", "hidden_out", "intermediate"),
            **norm("input_layernorm", "post_attention_layernorm", "gpt_neox.final_layer_norm"),
            "gpt_neox.embed_in.weight": "- hidden_out", "lm_head.weight": "- hidden_in"}
