"""Create models of any size from a chain, without training, and compare them with their baselines.

Substitution is Boomerang distillation (2510.05064), interpolation Chain-based Distillation's (2605.07783, equation 3); see
`core.chains.interpolation`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from transformers import GenerationConfig, PreTrainedModel

from core.chains.folder import CALIBRATION, VALIDATION, Chain, Point, Target, selection_file
from core.chains.interpolation import AnchorPair, interpolate, substitute
from core.data.packing import Blocks
from core.errors import ConfigError
from core.evaluation.language import evaluate_language
from core.models import catalog
from core.models.dimensions import as_record
from core.models.loading import model_from_config, tokenizer_from_pretrained
from core.models.model_files import refuse_damaged
from core.students.resizing import Weights
from core.system.devices import resolve_precision
from core.system.files import atomic_directory

Method = Literal["substitution", "interpolation"]
SWEEP = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)  # alphas that a curve is measured at, besides the default one


@dataclass(frozen=True, slots=True)
class GeneratedModel:
    """A model that was created on demand.

    Attributes:
        alpha: share of the smaller anchor; None for substitution.
        swapped: blocks of the smaller anchor that were swapped back for spans of the larger one; None for interpolation.
        losses: validation losses in nats per token: ``this`` is its own, the others are those of `baseline_losses`.
        seconds: to create it, without loading the anchors, measuring and saving.
    """

    chain: str
    target: Target
    method: Method
    alpha: float | None
    swapped: tuple[int, ...] | None
    losses: dict[str, float]
    seconds: float


def create(chain: Chain, target: Target, folder: Path, *, method: Method | None = None, alpha: float | None = None,
         measure: bool = True) -> GeneratedModel:
    """Create a model of any size and save it as an ordinary model folder, with ``stillhouse.json`` beside the weights.

    Args:
        folder: must not exist yet.
        method: by default substitution where the chain was aligned and no alpha is given, else interpolation.
        alpha: of interpolation (default: by the relative distance in parameters).

    Raises:
        ConfigError: alpha outside 0 to 1, substitution in a chain that was not aligned, or a folder that is there already.
    """
    method = method or ("substitution" if chain.aligned and alpha is None else "interpolation")
    if method == "substitution" and chain.ends(target.larger_anchor) is None:
        raise ConfigError("Substitution was requested.", f"The hidden states of the chain '{chain.reference}' were not aligned.",
                          "Use interpolation, or build the chain with losses.w_hidden_mse above 0.")
    if folder.exists():
        raise ConfigError(f"'{folder}' is there already.", "A folder that does not exist yet was expected.", "Give another one.")
    pair = load_anchor_pair(chain, target.larger_anchor)
    began, swapped = time.perf_counter(), None
    if method == "substitution":
        alpha, swapped = None, chain.swaps(target)
        weights = substitute(pair, target.dimensions, swapped)
    else:
        alpha = chain.default_alpha(target) if alpha is None else alpha
        weights = interpolate(pair, target.dimensions, alpha)
    model = weights.model()
    seconds = time.perf_counter() - began
    losses = {"this": loss_of(model, chain), **baseline_losses(chain, target, pair)} if measure else {}
    created = GeneratedModel(chain.reference, target, method, alpha, swapped, losses, round(seconds, 3))
    with atomic_directory(folder.absolute(), 5 * target.parameters) as partial:
        save_model(model, partial, like=chain.folder(0))
        record = {"made_from": {**as_record(created), "chain_digest": chain.digest}}
        (partial / "stillhouse.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        (partial / "README.md").write_text(model_card(created), encoding="utf-8")
    return created


METHOD_TEXTS = {
    "substitution": "Layers of the smaller anchor were replaced by the layers of the larger one that they had been aligned with, without "
                    "training. At one width and between two models this is Boomerang distillation "
                    "([arXiv 2510.05064](https://arxiv.org/abs/2510.05064)); here the larger anchor's layers are also cut to the target's "
                    "width and refitted, and the smaller anchor is the baseline.",
    "interpolation": "The weights of two anchors, brought to one shape, were averaged without training (Chain-based Distillation, "
                     "[arXiv 2605.07783](https://arxiv.org/abs/2605.07783), equation 3).",
}


def model_card(created: GeneratedModel) -> str:
    """Return the model card of a created model: how it was created, whose method that is, and what was measured."""
    shape = created.target.dimensions
    replaced = ", ".join(map(str, created.swapped or ())) or "none"
    how = f"layers replaced: {replaced}" if created.alpha is None else f"alpha {created.alpha:.3g}"
    losses = "\n".join(f"| {name} | {loss:.4g} |" for name, loss in created.losses.items() if loss is not None)
    table = f"\n\n| validation loss (nats/token), one chain, no interval | |\n| --- | ---: |\n{losses}" if losses else ""
    return (f"---\nlibrary_name: transformers\npipeline_tag: text-generation\ntags: [stillhouse]\n---\n\n"
            f"# {shape.layers} layers, {created.target.parameters:,} parameters\n\n"
            f"A language model of {shape.layers} layers, created from the chain {Path(created.chain).name} by {created.method} ({how}).\n\n"
            f"## How it was created\n\n{METHOD_TEXTS[created.method]}{table}\n")


def save_model(model: PreTrainedModel, folder: Path, *, like: Path) -> None:
    """Save weights into `folder`, with the tokenizer and the generation settings of the model folder `like`."""
    with refuse_damaged(f"The generation settings of '{like}'"):
        model.generation_config = GenerationConfig.from_pretrained(like)
    model.save_pretrained(folder)
    tokenizer_from_pretrained(like).save_pretrained(folder)


def load_anchor_pair(chain: Chain, number: int) -> AnchorPair:
    """Load anchor `number` and the next smaller one."""
    return AnchorPair(load_anchor(chain, number + 1), load_anchor(chain, number), chain.ends(number),
                      chain.anchors[number + 1].swap_deltas or None,
                      torch.from_numpy(read_slice(chain.path / CALIBRATION).input_ids).long())


def load_anchor(chain: Chain, number: int) -> Weights:
    """Return an anchor's weights, in float32."""
    loaded = catalog.load(str(chain.folder(number)), dtype=torch.float32)
    return Weights.of(loaded.model, chain.anchors[number].origin or None)


# ---------------------------------------------------------------------------------------------------- measuring


def loss_of(model: PreTrainedModel | Weights, chain: Chain, blocks: Blocks | None = None) -> float:
    """Return the cross-entropy on the chain's held-out slice, in nats per token."""
    model = model.model() if isinstance(model, Weights) else model
    return evaluate_language(model, blocks or read_slice(chain.path / VALIDATION), tokenizer=_tokenizer(chain.folder(0)), batch_size=8,
                             device=model.device, dtype=resolve_precision("auto", model.device))["cross_entropy"]


@lru_cache(maxsize=8)
def read_slice(path: Path) -> Blocks:
    """Return a slice that a chain keeps: held-out blocks, or training blocks for calibration."""
    with np.load(path, allow_pickle=False) as held:
        ids, weights = held["input_ids"].astype(np.int32), held["weights"].astype(np.float32)
    return Blocks(ids, weights, documents=0, tokens=int(ids.size))


def write_slice(path: Path, blocks: Blocks) -> None:
    """Keep a slice; see `read_slice`."""
    np.savez_compressed(path, input_ids=blocks.input_ids.astype(np.int32), weights=blocks.weights)


@lru_cache(maxsize=4)
def _tokenizer(folder: Path) -> Any:
    return tokenizer_from_pretrained(folder)


def baseline_losses(chain: Chain, target: Target, pair: AnchorPair) -> dict[str, float]:
    """Return the validation losses of the baselines of a model between two anchors, in nats per token.

    They are both anchors as they are, the larger one cut down (``alpha_0``), the smaller one expanded by zero-initialised blocks
    (``alpha_1``) and by copied ones (``copied``), and new weights of the same shape (``random``).
    """
    shape = target.dimensions
    return {"larger_anchor": chain.anchors[target.larger_anchor].validation_loss,
            "smaller_anchor": chain.anchors[target.larger_anchor + 1].validation_loss,
            "alpha_0": loss_of(interpolate(pair, shape, 0.0), chain), "alpha_1": loss_of(interpolate(pair, shape, 1.0), chain),
            "copied": loss_of(interpolate(pair, shape, 1.0, depth="replicate"), chain),
            "random": loss_of(new_weights(interpolate(pair, shape, 0.0).config), chain)}


def new_weights(config: Any, seed: int = 0) -> PreTrainedModel:
    """Return a model that was never trained."""
    return model_from_config(config, "causal", torch.float32, seed).eval()


def swap_deltas(pair: AnchorPair, chain: Chain) -> tuple[float, ...]:
    """Return what swapping each block of the smaller anchor back for its span changes in loss on the selection slice, each alone."""
    small, large = pair.small.dimensions, pair.large.dimensions
    blocks = read_slice(selection_file(chain.path))
    before = loss_of(pair.small, chain, blocks)
    return tuple(loss_of(substitute(pair, replace(large, layers=small.layers + len(span) - 1), [block]), chain, blocks) - before
                 for block, span in enumerate(pair.spans()))


def measure_point(chain: Chain, target: Target, pair: AnchorPair, *, seeds: Sequence[int] = (0, 1, 2)) -> Point:
    """Return one size by every method; new weights are drawn once for each seed."""
    shape = target.dimensions
    alpha = chain.default_alpha(target)
    sweep = {f"{each:g}": loss_of(interpolate(pair, shape, each), chain) for each in SWEEP}
    anchors = chain.anchors[target.larger_anchor:target.larger_anchor + 2]
    nearest = min(anchors, key=lambda anchor: abs(anchor.parameters - target.parameters))
    aligned = chain.ends(target.larger_anchor) is not None
    config = interpolate(pair, shape, 0.0).config
    random = tuple(loss_of(new_weights(config, seed), chain) for seed in seeds)
    losses = {
        "substitution": loss_of(substitute(pair, shape, chain.swaps(target)), chain) if aligned else None,
        "interpolation": loss_of(interpolate(pair, shape, alpha), chain),
        "best_alpha": min(sweep.values()), "alpha_0": sweep["0"], "alpha_1": sweep["1"],
        "copied": loss_of(interpolate(pair, shape, 1.0, depth="replicate"), chain), "nearest": nearest.validation_loss,
        "random": sum(random) / len(random),
    }
    return Point(target, alpha, losses, sweep, random)
