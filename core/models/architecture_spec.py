"""Describe where an architecture keeps its parts: the form of an entry in the table of families (`core.models.families`).

Everything that cuts, copies or counts parts of a model reads an `ArchitectureSpec`; no other module branches on a model's type.
Reading one needs no torch, so that forms can count a model's parameters from its files alone.

Two objectives: a *causal* language model attends to the left and predicts the next token; a *masked* one attends both ways and
predicts masked tokens.

The tests hold for every architecture: ``hidden_states[-1]`` of a causal language model is the state that its output head
multiplies, after the final norm and, for OPT, after the projection to the embedding width. Earlier entries are the raw residual
stream. A masked model transforms ``hidden_states[-1]`` once more in front of its head (see `core.models.forward`). Then

    logits = transform(head(states))

where most heads are a matrix and nothing follows; `LogitTransform` says what follows in the others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from core.config.base import MAX_LAYERS, MAX_POSITIONS
from core.errors import ConfigError, CorruptModelError, UnsupportedModelError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedConfig

Objective = Literal["causal", "masked"]


@dataclass(frozen=True, slots=True)
class LogitTransform:
    """What follows the product of states and output matrix.

        z = c tanh(s u / c),    z = s u without a cap,    dz/du = s (1 - (z / c)^2)

    Attributes:
        scale: s; Cohere's ``logit_scale``, one over Granite's ``logits_scaling``.
        softcap: c; Gemma 2's ``final_logit_softcapping`` (2408.00118, section 2), None for none.
    """

    scale: float = 1.0
    softcap: float | None = None

    def __call__(self, products: Tensor) -> Tensor:
        """Return the logits z of the products u, of any shape; the products themselves where nothing follows."""
        if self.softcap is not None:
            return (products * (self.scale / self.softcap)).tanh() * self.softcap
        return products if self.scale == 1.0 else products * self.scale

    def derivative(self, logits: Tensor) -> Tensor | float:
        """Return dz/du, in terms of the logits z."""
        if self.softcap is None:
            return self.scale
        return (1 - (logits / self.softcap).square()) * self.scale


@dataclass(frozen=True, slots=True)
class Variant:
    """How an architecture is built otherwise where its configuration says so.

    Attributes:
        applies: whether a plain configuration is of this variant.
        differences: fields of the `ArchitectureSpec` that differ.
    """

    applies: Callable[[Mapping[str, Any]], bool]
    differences: Mapping[str, Any]


# What a dimension of a parameter runs over:
#
#     hidden_in      channels of the residual stream, as an input    hidden_out    the same as an output
#     norm_weight    the same, scaled by a norm                      norm_excess   the same, by a norm that stores one less than its scale
#     norm_bias      the same, shifted by a norm                     embedded      the same as an output, scaled by the root of the width
#     heads          query heads times channels of a head            kv            key or value heads times channels of a head
#     heads_norm     heads, scaled by a norm over all of them        kv_norm       kv, scaled by a norm over all of them
#     query_heads    query heads                                     kv_heads      key and value heads
#     qkv            queries, keys, values, one after the other      qkv_head      queries, keys, values of one head after the other's
#     intermediate   inner width of the feed-forward part            gate_up       gates, then what they gate: twice that width
#     -              never changed: vocabulary, positions, channels of a head
AXES = ("hidden_in", "hidden_out", "norm_weight", "norm_excess", "norm_bias", "embedded", "heads", "kv", "heads_norm", "kv_norm",
        "query_heads", "kv_heads", "qkv", "qkv_head", "intermediate", "gate_up", "-")
CHANNELS = AXES[:6]  # those that run over the residual stream


@dataclass(frozen=True, slots=True)
class ArchitectureSpec:
    """Names an architecture's parts. Module paths are dotted and start at the language model with its output head.

    Attributes:
        model_type: the configuration's name of the architecture.
        family: its name among people.
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
        synonyms: key -> its other name in configuration files.
        default_context: the longest sequence in tokens where the configuration does not say; None where it must.
        per_block_keys: keys of configuration lists that have one entry a block.
        further_keys: gives, from a configuration and the blocks that a student keeps, the other keys that speak of single blocks.
        threshold_keys: keys of configuration numbers that name a block: those before it behave differently.
        activation_factor: numbers that a block saves for the backward pass per position, as a multiple of its projections' inputs
            and outputs (measured in fp32; see `core.planning.memory`).
        attention_factor: numbers that a block saves per position, query head and position that it attends to: attention that is written
            out keeps its scores, capped or not, and its probabilities.
        dropout_keys: configuration numbers that are dropout rates; decoder students are trained without dropout.
        legacy_heads: other names of the head in older checkpoints.
        buffer_pattern: pattern of checkpoint entries that are buffers, no parameters (masks and rotary tables of older checkpoints).
        objective: what the language model predicts: the next token, or the masked ones.
        token_types: the embedding of sentence A or B, None where there is none.
        non_base_modules: names of modules outside `base`, besides the head: the transform in front of it, and the heads of labelled
            tasks.
        aliases: other name in checkpoints -> canonical name, of single parameters.
        head_transform: the first module between the blocks and a masked language model's head, which a checkpoint without that head
            lacks; None where the head alone follows the blocks.
        answers_questions: whether Transformers has a head for extractive questions.
        head_advice: what to do about a checkpoint whose head is there and not read; empty where there is no such case.
        unused_pattern: pattern of checkpoint entries that the language model leaves out (heads of other training objectives).
        needed_kind: a list of `per_block_keys`, and the kind of block in it that a model needs one of; None for none.
        first_block_differs: whether block 0 lacks a part that the others have, so that only itself can take its place.
        blocks_return_tuples: whether a block returns its output and its attention's probabilities, and not the output alone.
        padding_offsets_positions: whether position ids start after the padding token's id (RoBERTa), which costs that many positions.
        head_input: the module whose output the head multiplies where the head is no module of its own and multiplies by the token
            embedding's matrix; None where the head is a module.
        logit_scale_key, logit_divisor_key, logit_softcap_key: configuration keys of what follows the head's product; see
            `LogitTransform`.
        axes: what the dimensions of each parameter run over, by its name (inside a block, relative to the block); empty where the
            width cannot be changed. See `AXES`.
        width_refusal: why the width cannot be changed.
        norms_subtract_mean: whether the norms are LayerNorm, which subtracts the mean, and not RMSNorm.
        key_value_heads_key, intermediate_size_key, head_size_key: configuration keys of the key and value heads, of the inner width
            of the feed-forward part and of the channels of one head; None where they follow from the others.
        key_value_heads: the number of key and value heads where it is fixed.
        experts_key, active_experts_key: configuration keys of the experts of a block, and of those that one token passes; None for none.
        variants: how configurations of this type can differ.
    """

    model_type: str
    family: str
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
    synonyms: Mapping[str, str] = field(default_factory=dict)
    default_context: int | None = None
    per_block_keys: tuple[str, ...] = ()
    further_keys: Callable[[PreTrainedConfig, Sequence[int]], Mapping[str, Any]] | None = None
    threshold_keys: tuple[str, ...] = ()
    activation_factor: float = 1.15
    attention_factor: float = 0.0
    dropout_keys: tuple[str, ...] = ("attention_dropout",)
    legacy_heads: tuple[str, ...] = ()
    buffer_pattern: str = r"rotary_emb\.inv_freq$"
    objective: Objective = "causal"
    token_types: str | None = None
    non_base_modules: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    unused_pattern: str = r"^$"
    needed_kind: tuple[str, str] | None = None
    first_block_differs: bool = False
    blocks_return_tuples: bool = False
    padding_offsets_positions: bool = False
    head_transform: str | None = None
    head_advice: str = ""
    answers_questions: bool = True
    head_input: str | None = None
    logit_scale_key: str | None = None
    logit_divisor_key: str | None = None
    logit_softcap_key: str | None = None
    axes: Mapping[str, str] = field(default_factory=dict)
    width_refusal: str = "Its blocks are not described channel by channel."
    norms_subtract_mean: bool = False
    key_value_heads_key: str | None = None
    intermediate_size_key: str = "intermediate_size"
    head_size_key: str | None = None
    key_value_heads: int | None = None
    experts_key: str | None = None
    active_experts_key: str | None = None
    variants: tuple[Variant, ...] = ()

    def variant_of(self, config: Mapping[str, Any]) -> ArchitectureSpec:
        """Return the spec of a plain configuration: this one with the differences of every variant that applies."""
        differences = {key: value for variant in self.variants if variant.applies(config) for key, value in variant.differences.items()}
        return replace(self, **differences) if differences else self

    def logit_transform(self, config: PreTrainedConfig) -> LogitTransform:
        """Return what follows the product of states and output matrix in a model of this configuration."""
        def setting(key: str | None, default: float | None) -> float | None:
            return default if key is None else getattr(config, key, default)

        scale = (setting(self.logit_scale_key, 1.0) or 1.0) / (setting(self.logit_divisor_key, 1.0) or 1.0)
        return LogitTransform(scale, setting(self.logit_softcap_key, None))

    def has_language_head(self, names: Iterable[str], config: Mapping[str, Any]) -> bool:
        """Return whether a checkpoint with parameters of these names holds a language model's head, and not the blocks alone."""
        if self.objective == "causal" or (self.head_transform is None and self.is_tied(config)):
            return True
        head = f"{self.head_transform or self.head}."
        return any(name.startswith(head) for name in names)

    def axes_of(self, name: str) -> tuple[str, ...]:
        """Return the axes of a (canonical) parameter. Raises UnsupportedModelError where they are not described."""
        block = self.block_of(name)
        relative = name if block is None else name.removeprefix(f"{self.blocks}.{block}.")
        if relative not in self.axes:
            reason = f"Nothing is known of the channels of {relative}." if self.axes else self.width_refusal
            raise UnsupportedModelError(f"The width of a {self.model_type} model was to be changed.", reason,
                                   "Keep the teacher's width, and change the depth alone; docs/reference/families.md lists the families "
                                   "whose width can be changed.", field="student.hidden")
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
        # The first ten digits of a number without end are too large for any depth already.
        return int(found[1][:10]) if found else None

    def with_block(self, name: str, block: int) -> str:
        """Return the same parameter's (canonical) name in block number `block`."""
        return re.sub(rf"^({re.escape(self.blocks)})\.\d+\.", rf"\1.{block}.", name)

    def require_valid_layer_map(self, layer_map: Sequence[int], config: Mapping[str, Any]) -> None:
        """Check that a student can be built of these blocks.

        A first block that differs from the others comes first, and once; a kind of block that is needed is among them.

        Args:
            config: the teacher's plain configuration, as far as it is known.

        Raises:
            ConfigError: it cannot.
        """
        key, kind = self.needed_kind or ("", "")
        kinds = config.get(key)
        if isinstance(kinds, list) and not any(kinds[block] == kind for block in layer_map if block < len(kinds)):
            having = [block for block, each in enumerate(kinds) if each == kind]
            raise ConfigError(f"The student's blocks were to be the teacher's {list(layer_map)}.",
                              f"At least one block of the kind {kind} was expected: {', '.join(map(str, having))}.",
                              "Put one of them into student.layer_map.", field="student.layer_map")
        if self.first_block_differs and (layer_map[0] != 0 or 0 in layer_map[1:]):
            raise ConfigError(f"The student's blocks were to be the teacher's {list(layer_map)}.",
                              f"The first block of a {self.model_type} model is built differently and can only come first.",
                              "Let student.layer_map begin with 0.", field="student.layer_map")

    def is_tied(self, config: Mapping[str, Any]) -> bool:
        """Return whether a plain configuration ties the head to the token embedding's matrix."""
        return bool(config.get("tie_word_embeddings", self.tied_by_default))

    def context(self, config: Mapping[str, Any]) -> int:
        """Return the longest sequence in tokens, from a plain configuration. Raises CorruptModelError if it is not there."""
        padding = config.get("pad_token_id")
        taken = (padding if isinstance(padding, int) else 0) + 1 if self.padding_offsets_positions else 0
        if self.default_context is not None and self.value(config, self.context_key) is None:
            return self.default_context
        return self.dimension(config, self.context_key) - taken

    def value(self, config: Mapping[str, Any], key: str) -> Any:
        """Return what a plain configuration says under a key or its other name; None where it does not."""
        found = config.get(key)
        return config.get(self.synonyms[key]) if found is None and key in self.synonyms else found

    def dimension(self, config: Mapping[str, Any], key: str) -> int:
        """Return a size from a plain configuration. Raises CorruptModelError if it is not there, or is one that no model has."""
        value = self.value(config, key)
        most = MAX_LAYERS if key == self.depth_key else MAX_POSITIONS
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise CorruptModelError(f"The configuration's '{key}' is {value!r}.",
                                    f"A {self.model_type} model needs a whole number there, from 1 to {most:,}.",
                                    "Download or export the model again.")
        return value
