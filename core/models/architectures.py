"""Describe where each architecture keeps its parts: the one place where architectures differ.

Everything that cuts, copies or counts parts of a model reads an `ArchitectureSpec`; no other module branches on a model's type.
Reading one needs no torch, so that forms can count a model's parameters from its files alone.

Two objectives: a *causal* language model attends to the left and predicts the next token; a *masked* one attends both ways and
predicts masked tokens.

The tests hold for every architecture here: ``hidden_states[-1]`` of a causal language model is the state that its output head
multiplies, after the final norm and, for OPT, after the projection to the embedding width. Earlier entries are the raw residual
stream. So ``head(hidden_states[-1])`` equals the logits. A masked model transforms ``hidden_states[-1]`` once more in front of its
head, which has a bias (see `core.models.forward`).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from core.errors import ConfigError, CorruptModelError, UnsupportedModelError

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedConfig, PreTrainedModel

ModelT = TypeVar("ModelT", bound="nn.Module")
Objective = Literal["causal", "masked"]


@dataclass(frozen=True, slots=True)
class ArchitectureSpec:
    """Names an architecture's parts. Module paths are dotted and start at the language model with its output head.

    Attributes:
        model_type: the configuration's name of the architecture.
        base: the module that holds all but the output head; checkpoints saved without a head leave its prefix out.
        blocks: the list of blocks (Transformers' decoder or encoder layers).
        embeddings: the token embedding.
        positions: the learned position embedding, None where positions are rotary.
        final_norm: the norm after the last block; None where every block ends with a norm of its own.
        head: the output head.
        projections: the weight matrices of a block (attention, then feed-forward), relative to the block.
        tied_by_default: whether the head shares the token embedding's matrix where the configuration leaves it open.
        fan_in_fan_out: whether those matrices are stored (in, out), as GPT-2's Conv1D does, instead of (out, in); PEFT's name.
        depth_key, width_key, heads_key, context_key: the configuration's keys for the number of blocks, the width of the
            residual stream in channels, the query heads of a block and the longest sequence in tokens.
        per_block_keys: keys of configuration lists that have one entry a block.
        threshold_keys: keys of configuration numbers that name a block: those before it behave differently.
        activation_factor: numbers that a block saves for the backward pass per position, as a multiple of its projections' inputs
            and outputs (measured in fp32; see `core.planning.memory`).
        dropout_keys: configuration numbers that are dropout rates; decoder students are trained without dropout.
        legacy_heads: other names of the head in older checkpoints.
        buffer_pattern: pattern of checkpoint entries that are buffers, no parameters (masks and rotary tables of older checkpoints).
        objective: what the language model predicts: the next token, or the masked ones.
        token_types: the embedding of sentence A or B, None where there is none.
        non_base_modules: names of modules outside `base`, besides the head: the transform in front of it, and the heads of labelled
            tasks.
        aliases: other name in checkpoints -> canonical name, of single parameters.
        unused_pattern: pattern of checkpoint entries that the language model leaves out (heads of other training objectives).
        first_block_differs: whether block 0 lacks a part that the others have, so that only itself can take its place.
        padding_offsets_positions: whether position ids start after the padding token's id (RoBERTa), which costs that many positions.
        axes: what the dimensions of each parameter run over, by its name (inside a block, relative to the block); empty where the
            width cannot be changed. See `AXES`.
        norms_subtract_mean: whether the norms are LayerNorm, which subtracts the mean, and not RMSNorm.
        key_value_heads_key, intermediate_size_key, head_size_key: configuration keys of the key and value heads, of the inner width
            of the feed-forward part and of the channels of one head; None where they follow from the others.
    """

    model_type: str
    base: str
    blocks: str
    embeddings: str
    positions: str | None
    final_norm: str | None
    projections: tuple[str, ...]
    tied_by_default: bool = False
    fan_in_fan_out: bool = False
    head: str = "lm_head"
    depth_key: str = "num_hidden_layers"
    width_key: str = "hidden_size"
    heads_key: str = "num_attention_heads"
    context_key: str = "max_position_embeddings"
    per_block_keys: tuple[str, ...] = ()
    threshold_keys: tuple[str, ...] = ()
    activation_factor: float = 1.15
    dropout_keys: tuple[str, ...] = ("attention_dropout",)
    legacy_heads: tuple[str, ...] = ()
    buffer_pattern: str = r"rotary_emb\.inv_freq$"
    objective: Objective = "causal"
    token_types: str | None = None
    non_base_modules: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    unused_pattern: str = r"^$"
    first_block_differs: bool = False
    padding_offsets_positions: bool = False
    axes: Mapping[str, str] = field(default_factory=dict)
    norms_subtract_mean: bool = False
    key_value_heads_key: str | None = None
    intermediate_size_key: str = "intermediate_size"
    head_size_key: str | None = None

    def axes_of(self, name: str) -> tuple[str, ...]:
        """Return the axes of a (canonical) parameter. Raises UnsupportedModelError where they are not described."""
        block = self.block_of(name)
        relative = name if block is None else name.removeprefix(f"{self.blocks}.{block}.")
        if relative not in self.axes:
            raise UnsupportedModelError(f"The width of a {self.model_type} model was to be changed.",
                                   f"Widths can be changed in {', '.join(key for key, each in ARCHITECTURE_SPECS.items() if each.axes)}.",
                                   "Keep the teacher's width, and change the depth alone.", field="student.hidden")
        return tuple(self.axes[relative].split())

    def canonical(self, name: str) -> str | None:
        """Return a parameter's name in the language model, from its name in any checkpoint; None for buffers."""
        if re.search(self.buffer_pattern, name):
            return None
        for old in self.legacy_heads:
            if name.startswith(f"{old}."):
                return self.head + name.removeprefix(old)
        if name in self.aliases:
            return self.aliases[name]
        if name.startswith(tuple(f"{part}." for part in (self.base, self.head, *self.non_base_modules))):
            return name
        return f"{self.base}.{name}"

    def block_of(self, name: str) -> int | None:
        """Return the number of the block that a (canonical) parameter belongs to; None outside the blocks."""
        found = re.match(rf"{re.escape(self.blocks)}\.(\d+)\.", name)
        return int(found[1]) if found else None

    def with_block(self, name: str, block: int) -> str:
        """Return the same parameter's (canonical) name in block number `block`."""
        return re.sub(rf"^({re.escape(self.blocks)})\.\d+\.", rf"\1.{block}.", name)

    def require_valid_layer_map(self, layer_map: Sequence[int]) -> None:
        """Check that a first block that differs from the others comes first in the student, and once. Raises ConfigError."""
        if self.first_block_differs and (layer_map[0] != 0 or 0 in layer_map[1:]):
            raise ConfigError(f"The student's blocks were to be the teacher's {list(layer_map)}.",
                              f"The first block of a {self.model_type} model is built differently and can only come first.",
                              "Let student.layer_map begin with 0.", field="student.layer_map")

    def is_tied(self, config: Mapping[str, Any]) -> bool:
        """Return whether a plain configuration ties the head to the token embedding's matrix."""
        return bool(config.get("tie_word_embeddings", self.tied_by_default))

    def context(self, config: Mapping[str, Any]) -> int:
        """Return the longest sequence in tokens, from a plain configuration. Raises CorruptModelError if it is not there."""
        taken = (config.get("pad_token_id") or 0) + 1 if self.padding_offsets_positions else 0
        return self.dimension(config, self.context_key) - taken

    def dimension(self, config: Mapping[str, Any], key: str) -> int:
        """Return a size from a plain configuration. Raises CorruptModelError if it is not there."""
        value = config.get(key)
        if not isinstance(value, int) or value < 1:
            raise CorruptModelError(f"The configuration's '{key}' is {value!r}.", f"A {self.model_type} model needs a whole number there.",
                               "Download or export the model again.")
        return value


# What a dimension of a parameter runs over:
#
#     hidden_in      channels of the residual stream, as an input    hidden_out   the same as an output
#     norm_weight    the same, scaled by a norm                      norm_bias    the same, shifted by a norm
#     heads          query heads times channels of a head            kv           key or value heads times channels of a head
#     qkv            queries, keys, values, one after the other      qkv_head     queries, keys, values of one head after the other's
#     intermediate   inner width of the feed-forward part            -            never changed: vocabulary, positions, channels of a head
AXES = ("hidden_in", "hidden_out", "norm_weight", "norm_bias", "heads", "kv", "qkv", "qkv_head", "intermediate", "-")


def _linear(name: str, output: str, inputs: str) -> dict[str, str]:
    """Return the axes of a matrix stored (out, in), and of its bias where there is one."""
    return {f"{name}.weight": f"{output} {inputs}", f"{name}.bias": output}


def _conv1d(name: str, output: str, inputs: str) -> dict[str, str]:
    """Return the axes of a matrix stored (in, out), as GPT-2's are, and of its bias."""
    return {f"{name}.weight": f"{inputs} {output}", f"{name}.bias": output}


def _norm(*names: str) -> dict[str, str]:
    return {f"{name}.{part}": axis for name in names for part, axis in (("weight", "norm_weight"), ("bias", "norm_bias"))}


_GATED_PROJECTIONS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
                      "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
_GATED_AXES = {
    **_linear("self_attn.q_proj", "heads", "hidden_in"), **_linear("self_attn.k_proj", "kv", "hidden_in"),
    **_linear("self_attn.v_proj", "kv", "hidden_in"), **_linear("self_attn.o_proj", "hidden_out", "heads"),
    "self_attn.q_norm.weight": "-", "self_attn.k_norm.weight": "-",
    **_linear("mlp.gate_proj", "intermediate", "hidden_in"), **_linear("mlp.up_proj", "intermediate", "hidden_in"),
    **_linear("mlp.down_proj", "hidden_out", "intermediate"), **_norm("input_layernorm", "post_attention_layernorm", "model.norm"),
    "model.embed_tokens.weight": "- hidden_out", "lm_head.weight": "- hidden_in",
}
_GPT2_AXES = {
    **_conv1d("attn.c_attn", "qkv", "hidden_in"), **_conv1d("attn.c_proj", "hidden_out", "heads"),
    **_conv1d("mlp.c_fc", "intermediate", "hidden_in"),
    **_conv1d("mlp.c_proj", "hidden_out", "intermediate"), **_norm("ln_1", "ln_2", "transformer.ln_f"),
    "transformer.wte.weight": "- hidden_out", "transformer.wpe.weight": "- hidden_out", "lm_head.weight": "- hidden_in",
}
_NEOX_AXES = {
    **_linear("attention.query_key_value", "qkv_head", "hidden_in"), **_linear("attention.dense", "hidden_out", "heads"),
    **_linear("mlp.dense_h_to_4h", "intermediate", "hidden_in"), **_linear("mlp.dense_4h_to_h", "hidden_out", "intermediate"),
    **_norm("input_layernorm", "post_attention_layernorm", "gpt_neox.final_layer_norm"),
    "gpt_neox.embed_in.weight": "- hidden_out", "lm_head.weight": "- hidden_in",
}


def _llama_like(model_type: str, **differences: Any) -> ArchitectureSpec:
    return ArchitectureSpec(model_type, base="model", blocks="model.layers", embeddings="model.embed_tokens", positions=None,
                   final_norm="model.norm", projections=_GATED_PROJECTIONS, axes=_GATED_AXES,
                   key_value_heads_key="num_key_value_heads", head_size_key="head_dim", **differences)


def _bert_like(model_type: str, head: str, **differences: Any) -> ArchitectureSpec:
    """Describe post-norm blocks with learned positions, as in BERT (1810.04805)."""
    embeddings = f"{model_type}.embeddings"
    return ArchitectureSpec(model_type, base=model_type, blocks=f"{model_type}.encoder.layer", embeddings=f"{embeddings}.word_embeddings",
                   positions=f"{embeddings}.position_embeddings", token_types=f"{embeddings}.token_type_embeddings", final_norm=None,
                   projections=("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
                                "intermediate.dense", "output.dense"),
                   tied_by_default=True, head=head, norms_subtract_mean=True, objective="masked", activation_factor=0.9,
                   dropout_keys=("hidden_dropout_prob", "attention_probs_dropout_prob"), buffer_pattern=r"\.position_ids$", **differences)


_TASK_HEADS = ("classifier", "qa_outputs")

_QWEN_LISTS: dict[str, Any] = {"per_block_keys": ("layer_types",), "threshold_keys": ("max_window_layers",)}

ARCHITECTURE_SPECS: dict[str, ArchitectureSpec] = {architecture.model_type: architecture for architecture in (
    _llama_like("llama"),
    _llama_like("qwen2", **_QWEN_LISTS),
    _llama_like("qwen3", activation_factor=1.35, **_QWEN_LISTS),
    ArchitectureSpec("gpt2", base="transformer", blocks="transformer.h", embeddings="transformer.wte", positions="transformer.wpe",
            final_norm="transformer.ln_f", projections=("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"),
            tied_by_default=True, fan_in_fan_out=True, depth_key="n_layer", width_key="n_embd", heads_key="n_head",
            context_key="n_positions", activation_factor=1.9, dropout_keys=("attn_pdrop", "embd_pdrop", "resid_pdrop"),
            buffer_pattern=r"\.attn\.(masked_)?bias$", axes=_GPT2_AXES, norms_subtract_mean=True, intermediate_size_key="n_inner"),
    ArchitectureSpec("gpt_neox", base="gpt_neox", blocks="gpt_neox.layers", embeddings="gpt_neox.embed_in", positions=None,
            final_norm="gpt_neox.final_layer_norm", legacy_heads=("embed_out",),
            projections=("attention.query_key_value", "attention.dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"),
            dropout_keys=("attention_dropout", "hidden_dropout"), buffer_pattern=r"\.attention\.(masked_bias|bias)$|rotary_emb\.inv_freq$",
            axes=_NEOX_AXES, norms_subtract_mean=True),
    ArchitectureSpec("opt", base="model", blocks="model.decoder.layers", embeddings="model.decoder.embed_tokens",
            positions="model.decoder.embed_positions", final_norm="model.decoder.final_layer_norm", tied_by_default=True,
            projections=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "fc1", "fc2"),
            activation_factor=0.8, dropout_keys=("attention_dropout", "dropout", "layerdrop"), norms_subtract_mean=True,
            intermediate_size_key="ffn_dim"),
    _bert_like("bert", head="cls.predictions.decoder", non_base_modules=("cls", *_TASK_HEADS),
               unused_pattern=r"^bert\.pooler\.|^cls\.seq_relationship\.",
               aliases={"cls.predictions.bias": "cls.predictions.decoder.bias"}),
    _bert_like("roberta", head="lm_head.decoder", non_base_modules=("lm_head", *_TASK_HEADS), unused_pattern=r"^roberta\.pooler\.",
               aliases={"lm_head.bias": "lm_head.decoder.bias"}, padding_offsets_positions=True),
    _bert_like("electra", head="generator_lm_head", non_base_modules=("generator_predictions", *_TASK_HEADS),
               unused_pattern=r"^discriminator_predictions\."),
    ArchitectureSpec("distilbert", base="distilbert", blocks="distilbert.transformer.layer",
                     embeddings="distilbert.embeddings.word_embeddings",
            positions="distilbert.embeddings.position_embeddings", final_norm=None, head="vocab_projector", tied_by_default=True,
            projections=("attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin", "ffn.lin1", "ffn.lin2"),
            depth_key="n_layers", width_key="dim", heads_key="n_heads", intermediate_size_key="hidden_dim",
            norms_subtract_mean=True, objective="masked", dropout_keys=("dropout", "attention_dropout"), activation_factor=0.9,
            buffer_pattern=r"\.position_ids$", non_base_modules=("vocab_transform", "vocab_layer_norm", "pre_classifier", *_TASK_HEADS)),
    ArchitectureSpec("modernbert", base="model", blocks="model.layers", embeddings="model.embeddings.tok_embeddings", positions=None,
            final_norm="model.final_norm", head="decoder", tied_by_default=True, projections=("attn.Wqkv", "attn.Wo", "mlp.Wi", "mlp.Wo"),
            per_block_keys=("layer_types",), norms_subtract_mean=True, objective="masked", activation_factor=1.4,
            non_base_modules=("head", *_TASK_HEADS),
            dropout_keys=("attention_dropout", "mlp_dropout", "embedding_dropout"), first_block_differs=True),
)}


def architecture_of(config: PreTrainedConfig | Mapping[str, Any]) -> ArchitectureSpec:
    """Return the spec of a configuration's architecture; the configuration is an object or the plain data of ``config.json``.

    Raises:
        UnsupportedModelError: an architecture that is not described here.
    """
    model_type = config.get("model_type") if isinstance(config, Mapping) else config.model_type
    if model_type not in ARCHITECTURE_SPECS:
        raise UnsupportedModelError(f"The model's architecture is '{model_type}'.",
                               f"One of {', '.join(sorted(ARCHITECTURE_SPECS))} was expected.",
                               "Choose a model of one of these families.")
    return ARCHITECTURE_SPECS[model_type]


def with_blocks(config: PreTrainedConfig, layer_map: Sequence[int]) -> PreTrainedConfig:
    """Return a copy of a configuration for a student that keeps the blocks of `layer_map`, in that order.

    Dropout of a decoder is set to 0: soft targets regularise by themselves, and dropout lowers the agreement with the teacher.
    An encoder keeps its teacher's, as DistilBERT does (1910.01108, section 3).

    Raises:
        ConfigError: as `ArchitectureSpec.require_valid_layer_map`.
    """
    architecture, result = architecture_of(config), copy.deepcopy(config)
    architecture.require_valid_layer_map(layer_map)
    setattr(result, architecture.depth_key, len(layer_map))
    for key in architecture.per_block_keys:
        setattr(result, key, [getattr(config, key)[block] for block in layer_map])
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
    embeddings, head = (module.get_parameter("weight") for module in (model.get_input_embeddings(), model.get_output_embeddings()))
    return embeddings.data_ptr() == head.data_ptr()


def plain_model(model: nn.Module) -> PreTrainedModel:
    """Return the language model inside wrappers for several devices, for compilation and for adapters."""
    from accelerate.utils import extract_model_from_parallel
    from peft import PeftModel
    from transformers import PreTrainedModel

    inner = extract_model_from_parallel(model, keep_torch_compile=False)
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

    class PassThrough(nn.Module):
        def forward(self, hidden_states: Any, *args: Any, **kwargs: Any) -> Any:
            return hidden_states

    layers = blocks(model)
    kept = layers[block]
    layers[block] = PassThrough()
    vars(layers[block]).update({key: value for key, value in vars(kept).items() if not key.startswith("_")})  # some models read them
    try:
        yield
    finally:
        layers[block] = kept
