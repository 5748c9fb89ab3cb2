"""The claim that a smaller anchor can be made larger without changing what it computes; no training, tiny random models."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from core.models.loading import model_from_config
from core.recorder import Recorder, StopRequested
from core.studies.claims.claim import Claim, Figure, Numbers, ProtocolConfig, Source
from core.studies.claims.rules import always, every

if TYPE_CHECKING:
    from core.students.resizing import Weights

CLOSE = 1e-3  # logits; what the epsilon of the norms leaves of equality


@dataclass(frozen=True)
class ExpansionProtocolConfig(ProtocolConfig):
    """Tiny models: `blocks` and `width` of the small, the target and the large one.

    Attributes:
        spread: standard deviation of the noise on every parameter, norms and biases included, so that any mix-up shows.
    """

    architectures: tuple[str, ...] = ("gpt2", "llama", "qwen2", "qwen3", "gpt_neox")
    blocks: tuple[int, int, int] = (3, 5, 6)
    width: tuple[int, int, int] = (32, 48, 64)
    vocabulary: int = 97
    rows: int = 4
    length: int = 24
    spread: float = 0.2


def exact_expansion(seed: int, setting: ExpansionProtocolConfig, recorder: Recorder) -> Numbers:
    """Measure C9: max |z_expanded - z_small| over all logits, for alpha = 1; and how many tensors change where the size stays the same."""
    import torch

    from core.chains.interpolation import AnchorPair, interpolate
    from core.students.resizing import Weights, resized

    small_blocks, target_blocks, large_blocks = setting.blocks
    small_width, target_width, large_width = setting.width
    ids = torch.randint(2, setting.vocabulary, (setting.rows, setting.length), generator=torch.Generator().manual_seed(seed))
    origin = [place * (large_blocks - 1) // (small_blocks - 1) for place in range(small_blocks)]
    numbers: dict[str, float] = {}
    changed = 0
    for name in setting.architectures:
        if recorder.should_stop():
            raise StopRequested
        for tied in (True, False):
            small = Weights.of(_random_model(name, small_blocks, small_width, tied, setting, seed), origin)
            large = Weights.of(_random_model(name, large_blocks, large_width, tied, setting, seed + 1))
            shape = replace(small.dimensions.with_width(target_width), layers=target_blocks)
            expanded = interpolate(AnchorPair(small, large), shape, 1.0, depth="identity")
            numbers[f"{name}_{'tied' if tied else 'untied'}"] = (_logits(expanded, ids) - _logits(small, ids)).abs().max().item()
            changed += sum(not torch.equal(same.tensors[key], small.tensors[key]) for key in small.tensors for same in (
                resized(small, small.dimensions), interpolate(AnchorPair(small, large), small.dimensions, 0.5)))
    return {"worst": max(numbers.values()), "changed": changed, **numbers}


def _random_model(name: str, blocks: int, width: int, tied: bool, setting: ExpansionProtocolConfig, seed: int) -> Any:
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = model_from_config(_config(name, blocks, width, tied, setting), "causal", torch.float32).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * setting.spread)
    return model


def _config(name: str, blocks: int, width: int, tied: bool, setting: ExpansionProtocolConfig) -> Any:
    from transformers import AutoConfig

    heads = width // 8
    common = {"vocab_size": setting.vocabulary, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 1, "tie_word_embeddings": tied}
    sizes = {"num_hidden_layers": blocks, "hidden_size": width, "num_attention_heads": heads, "max_position_embeddings": 2 * setting.length}
    match name:
        case "gpt2":
            return AutoConfig.for_model(name, **common, n_layer=blocks, n_embd=width, n_head=heads, n_positions=2 * setting.length)
        case "gpt_neox":
            return AutoConfig.for_model(name, **common, **sizes, intermediate_size=3 * width // 2)
    own_head = {"head_dim": 16} if name == "qwen3" else {}
    return AutoConfig.for_model(name, **common, **sizes, **own_head, intermediate_size=3 * width // 2, num_key_value_heads=heads // 2)


def _logits(weights: Weights, ids: Any) -> Any:
    import torch

    with torch.no_grad():
        return weights.model()(input_ids=ids, use_cache=False).logits


SETTING = ExpansionProtocolConfig()

CLAIMS = (
    Claim(
        "C9", "Expansion is exact", "Chain of anchors",
        "The smaller anchor is brought to a larger shape by replicated layers or zero-padding.",
        "no number: the paper does not say whether expansion keeps what the model computes",
        Source("2605.07783", "equation 3"),
        "max |change of a logit| at alpha = 1 with identity blocks, on tiny random models of five architectures, tied and untied; and "
        "weights bit-equal where the size is an anchor's own.",
        (Figure("worst", "largest change of a logit"), Figure("changed", "tensors that change at the same size"),
         *(Figure(f"{name}_{kind}", f"largest change, {name}, {kind}") for name in SETTING.architectures for kind in ("tied", "untied"))),
        every(always("worst", lambda value: value < CLOSE, f"is below {CLOSE:g}"), always("changed", lambda value: value == 0, "is 0")),
        SETTING, 3, exact_expansion,
        ("Padding with zeros alone is not exact once a norm is involved: norm weights are rescaled, and where norms subtract the mean, new "
         "channels carry it.", "Random norms and biases, so that nothing is right by accident.")),
)
