"""Tiny random configurations of every family, and what is measured of each for the table of docs/reference/families.md.

``python -m tests.core.families`` writes the table; `tests/core/test_families.py` compares it.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, PreTrainedConfig, PreTrainedModel

from core.config import StudentSpec
from core.errors import ConfigError, UnsupportedModelError
from core.models import checkpoints
from core.models.architectures import ARCHITECTURE_SPECS, architecture_of, on_device
from core.models.dimensions import Dimensions
from core.models.forward import forward, last_hidden, output_head
from core.models.header import read_model_header
from core.students.build import build_student
from core.students.resizing import Weights, resized
from core.system.paths import PROJECT
from tests.core.tiny import POSITIONS, VOCABULARY, WIDTH, tiny_config, tiny_encoder_config, token_ids

LAYERS = 4
PAGE = PROJECT / "docs" / "reference" / "families.md"

_IDS: dict[str, Any] = {"vocab_size": VOCABULARY, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 1}
_SIZES: dict[str, Any] = {**_IDS, "hidden_size": WIDTH, "max_position_embeddings": POSITIONS}
_GATED: dict[str, Any] = {**_SIZES, "intermediate_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2,
                          "num_hidden_layers": LAYERS}
_ENCODER: dict[str, Any] = {"vocab_size": VOCABULARY, "pad_token_id": 1, "max_position_embeddings": POSITIONS, "hidden_size": WIDTH,
                            "intermediate_size": 48, "num_attention_heads": 4, "num_hidden_layers": LAYERS}
_WINDOW: dict[str, Any] = {"sliding_window": 5}
_GEMMA: dict[str, Any] = {**_GATED, **_WINDOW, "head_dim": 16, "query_pre_attn_scalar": 16, "final_logit_softcapping": 3.0}
_FALCON: dict[str, Any] = {**_SIZES, "num_hidden_layers": LAYERS, "num_attention_heads": 4}
_DISENTANGLED: dict[str, Any] = {**_ENCODER, "relative_attention": True, "pos_att_type": ["c2p", "p2c"]}
_DEBERTA_V3: dict[str, Any] = {**_DISENTANGLED, "position_buckets": 8, "norm_rel_ebd": "layer_norm", "share_att_key": True,
                               "position_biased_input": False}

# One entry a family; a second one where its configurations differ in kind. Class of the configuration, and its settings.
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "mistral": ("MistralConfig", {**_GATED, **_WINDOW}),
    "gemma2": ("Gemma2Config", {**_GEMMA, "attn_logit_softcapping": 5.0}),
    "gemma3_text": ("Gemma3TextConfig", {**_GEMMA, "sliding_window_pattern": 2}),
    "phi3": ("Phi3Config", _GATED),
    "qwen3_moe": ("Qwen3MoeConfig", {**_GATED, "head_dim": 16, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16,
                                     "decoder_sparse_step": 2, "mlp_only_layers": [1]}),
    "smollm3": ("SmolLM3Config", {**_GATED, **_WINDOW, "use_sliding_window": True, "no_rope_layer_interval": 2}),
    "olmo2": ("Olmo2Config", _GATED),
    "granite": ("GraniteConfig", {**_GATED, "embedding_multiplier": 3.0, "logits_scaling": 2.0, "residual_multiplier": 0.5,
                                  "attention_multiplier": 0.3}),
    "lfm2": ("Lfm2Config", {**_GATED, "layer_types": ["conv", "full_attention", "conv", "full_attention"], "block_multiple_of": 16}),
    "stablelm": ("StableLmConfig", _GATED),
    "stablelm, parallel": ("StableLmConfig", {**_GATED, "use_parallel_residual": True, "use_qkv_bias": True}),
    "starcoder2": ("Starcoder2Config", {**_GATED, **_WINDOW}),
    "cohere": ("CohereConfig", _GATED),
    "cohere, norms of heads": ("CohereConfig", {**_GATED, "use_qk_norm": True}),
    "cohere2": ("Cohere2Config", {**_GATED, **_WINDOW, "sliding_window_pattern": 2}),
    "gptj": ("GPTJConfig", {**_IDS, "n_embd": WIDTH, "n_layer": LAYERS, "n_head": 4, "n_positions": POSITIONS, "rotary_dim": 4}),
    "gpt_neo": ("GPTNeoConfig", {**_SIZES, "num_layers": LAYERS, "num_heads": 4, "attention_types": [[["global", "local"], 2]],
                                 "window_size": 5}),
    "bloom": ("BloomConfig", {**_IDS, "hidden_size": WIDTH, "n_layer": LAYERS, "n_head": 4}),
    "falcon": ("FalconConfig", _FALCON),
    "falcon, 40B": ("FalconConfig", {**_FALCON, "new_decoder_architecture": True, "num_kv_heads": 2}),
    "falcon, RW": ("FalconConfig", {**_FALCON, "alibi": True, "multi_query": False, "parallel_attn": False, "bias": True}),
    "xlm-roberta": ("XLMRobertaConfig", {**_ENCODER, "type_vocab_size": 1}),
    "camembert": ("CamembertConfig", {**_ENCODER, "type_vocab_size": 1}),
    "mpnet": ("MPNetConfig", _ENCODER),
    "deberta": ("DebertaConfig", _DISENTANGLED),
    "deberta, trained head": ("DebertaConfig", {**_DISENTANGLED, "legacy": False}),
    "deberta-v2": ("DebertaV2Config", _DEBERTA_V3),
    "deberta-v2, trained head": ("DebertaV2Config", {**_DEBERTA_V3, "share_att_key": False, "conv_kernel_size": 3, "conv_act": "gelu",
                                                     "legacy": False}),
    "eurobert": ("EuroBertConfig", {**_ENCODER, "num_key_value_heads": 2, "mask_token_id": 4, "bos_token_id": 2, "eos_token_id": 3}),
}
OLDER = ("llama", "qwen2", "qwen3", "gpt2", "gpt_neox", "opt", "opt-350m", "bert", "roberta", "electra", "distilbert", "modernbert")


def family_config(case: str) -> PreTrainedConfig:
    """The configuration of a case of `FAMILIES`, or of `OLDER`."""
    if case in FAMILIES:
        kind, settings = FAMILIES[case]
        return getattr(transformers, kind)(**settings)
    older = "opt" if case == "opt-350m" else case
    return (tiny_config if ARCHITECTURE_SPECS[older].objective == "causal" else tiny_encoder_config)(case, LAYERS)


def is_causal(case: str) -> bool:
    return architecture_of(family_config(case)).objective == "causal"


# Cases whose width can be changed.
WIDE = tuple(case for case in (*FAMILIES, *OLDER) if is_causal(case) and architecture_of(family_config(case)).axes)


def family_model(case: str, seed: int = 0, spread: float = 0.2, **settings: Any) -> PreTrainedModel:
    """A model in evaluation mode whose every parameter is random."""
    config = family_config(case)
    config.update(settings)
    torch.manual_seed(seed)
    model = (AutoModelForCausalLM if is_causal(case) else AutoModelForMaskedLM).from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * spread)
    return model.eval()


def own_logits(model: PreTrainedModel, input_ids: torch.Tensor) -> torch.Tensor:
    """What the model itself says, without a cache."""
    with torch.no_grad():
        return model.eval()(input_ids=input_ids, attention_mask=torch.ones_like(input_ids)).logits


def our_logits(model: PreTrainedModel, input_ids: torch.Tensor) -> list[torch.Tensor]:
    """What losses and evaluation compute, by each of the ways to the states in front of the head."""
    with torch.no_grad():
        states = [forward(model, input_ids, torch.ones_like(input_ids), all_hidden_states=every).head_input for every in (False, True)]
        if architecture_of(model.config).objective == "causal":
            states.append(last_hidden(model, input_ids))
        return [output_head(model).logits(each) for each in states]


@dataclass(frozen=True, slots=True)
class Measured:
    """What is true of one case.

    Attributes:
        depth: whether a student of fewer blocks was built and computes.
        width: whether a narrower one was.
        adapters: matrices of a block that adapters stand beside, of all blocks together.
        copy_difference: largest difference of logits between the teacher and its copy.
        logits_difference: largest difference between our logits and the model's own.
        counted: whether the numbers of parameters of the model, and of the student before it is built, are those of torch.
    """

    depth: bool
    width: bool
    adapters: int
    copy_difference: float
    logits_difference: float
    counted: bool


@cache
def measure(case: str) -> Measured:
    model, input_ids = family_model(case), token_ids()
    expected = own_logits(model, input_ids)
    copied = build_student(model, StudentSpec(layers=LAYERS), seed=0).model
    student = build_student(model, StudentSpec(layer_map=(0, 3)), seed=0)
    adapted = build_student(model, StudentSpec(layers=LAYERS, lora={"rank": 2}), seed=0).model
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        header = read_model_header(Path(folder))
        counted = header.counts.total == model.num_parameters() and header.counts.with_blocks((0, 3)) == student.parameters
        counted &= checkpoints.count_parameters(header.shapes, header.config).blocks == header.counts.blocks
    return Measured(
        depth=bool(own_logits(student.model, input_ids).isfinite().all()), width=_narrows(model),
        adapters=sum("lora_A" in name for name, _ in adapted.named_parameters()),
        copy_difference=(own_logits(copied, input_ids) - expected).abs().max().item(),
        logits_difference=max((each - expected).abs().max().item() for each in our_logits(model, input_ids)), counted=counted)


def _narrows(model: PreTrainedModel) -> bool:
    if architecture_of(model.config).objective == "masked":
        return False
    weights = Weights.of(model)
    try:
        narrower = resized(weights, Dimensions.from_config(model.config).with_width(WIDTH // 2)).model()
    except (UnsupportedModelError, ConfigError):  # Falcon has one key head, which no fraction of a width goes with
        return False
    return bool(own_logits(on_device(narrower, "cpu"), token_ids()).isfinite().all())


def cases_of(model_type: str) -> list[str]:
    return [case for case in (*FAMILIES, *OLDER) if case.partition(",")[0] == model_type or (model_type, case) == ("opt", "opt-350m")]


def page() -> str:
    """docs/reference/families.md."""
    rows = []
    for model_type, spec in sorted(ARCHITECTURE_SPECS.items(), key=lambda each: (each[1].objective, each[1].family.lower())):
        found = [measure(case) for case in cases_of(model_type)]
        yes = {name: "yes" if all(getattr(each, name) for each in found) else "no" for name in ("depth", "width", "adapters", "counted")}
        rows.append((
            spec.family, f"`{model_type}`", "next token" if spec.objective == "causal" else "masked tokens", yes["depth"], yes["width"],
            yes["adapters"], "0" if all(each.copy_difference == 0 for each in found) else "more",
            "< 1e-5" if all(each.logits_difference < 1e-5 for each in found) else "more", yes["counted"]))
    head = ("family", "model type", "predicts", "depth", "width", "LoRA", "copy", "logits", "counted")
    lines = ["| " + " | ".join(row) + " |" for row in (head, ("---",) * len(head), *rows)]
    refusals = [f"- {spec.family}. {spec.width_refusal}"
                for spec in sorted(ARCHITECTURE_SPECS.values(), key=lambda each: each.family.lower())
                if not spec.axes and spec.objective == "causal"]
    return "\n".join([
        "# Model families", "", "<!-- Generated by `make reference`; do not edit. -->", "",
        "Architectures that a teacher and its students can have, measured by the tests on tiny random models of each. The model type is "
        "what `config.json` says under `model_type`.", "", *lines, "",
        "- **depth, width**: whether a student may have fewer layers, fewer channels, heads and neurons than its teacher.",
        "- **LoRA**: whether adapters can be trained beside the matrices of its layers.",
        "- **copy**: largest difference between the logits of a teacher and of its copy at the same depth.",
        "- **logits**: largest difference between the logits that losses and evaluation compute and the model's own, final scales and soft "
        "caps included.",
        "- **counted**: whether parameters are counted from a folder's files alone as torch counts them, for the model and for a student "
        "before it is built.", "",
        "Why a width cannot be changed:", "", *refusals,
        "- Encoders. Widths are described in models that predict the next token alone.", ""])


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    PAGE.write_text(page(), encoding="utf-8")
