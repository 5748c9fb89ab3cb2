"""Any size between two anchors of a chain, without training.

Two ways lead from a small anchor S and a large one B to a model between them.

*Interpolation* (2605.07783, equation 3), with alpha belonging to the smaller anchor:

    theta = alpha * Trans(theta_S) + (1 - alpha) * Trans(theta_B)

Trans makes both of the target's shape: the small one is expanded (`core.students.resizing`), the large one is cut to its first units
and to blocks that include those which the small one was built from. The paper leaves open which blocks and units; here the
small anchor's blocks stand where their originals stood, and every block between is silent, or a copy of the one before it.

*Substitution* replaces blocks of S by the spans of B's blocks that they were aligned with: wherever the hidden states at the ends of
spans were matched during distillation, the depth grows by the length of the span less one. At one width and between two models it is
Boomerang distillation (2510.05064); choosing the blocks by a measurement is KLPatch's idea (2607.08170), which measures the KL at every
size, where here the loss after each single swap is measured once, when the chain is built. New here are widths (B is cut to its most
important neurons and refitted, `core.students.refit`), several anchors in one chain, and S itself as the baseline. The published recipe
also takes B's norm and head with its last span and B's embeddings with its first, which unties a tied model; here those of S stay.

Shapes: L blocks, D channels, F neurons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from core.chains.sizes import cheapest_swaps
from core.errors import CompatibilityError, ConfigError
from core.models.dimensions import Dimensions
from core.students.layer_maps import runs, span_ends
from core.students.refit import least_squares_reconstruction, neuron_grams
from core.students.resizing import Selection, Weights, resized, select, support


@dataclass(frozen=True, slots=True)
class AnchorPair:
    """Two neighbouring anchors.

    Attributes:
        small, large: their weights, `small` with fewer or narrower blocks.
        ends: the last block of `large` that each block of `small` speaks for; None where hidden states were not aligned.
        gains: what swapping a block of `small` back for its run changes in held-out cross-entropy, nats per token, each alone.
        calibration: token ids (B, T) on which cut feed-forward parts are refitted (`core.students.refit`); None to cut only.
    """

    small: Weights
    large: Weights
    ends: tuple[int, ...] | None = None
    gains: tuple[float, ...] | None = None
    calibration: Tensor | None = None
    _grams: dict[int, dict[int, Tensor]] = field(default_factory=dict, repr=False, compare=False)

    def with_intermediate_size(self, weights: Weights, neurons: int) -> Weights:
        """Return one of the two anchors with fewer neurons, refitted where there is a calibration slice; as it is where it has no more."""
        if neurons >= weights.dimensions.intermediate_size:
            return weights
        if self.calibration is None:
            return resized(weights, replace(weights.dimensions, intermediate_size=neurons))
        if id(weights) not in self._grams:
            self._grams[id(weights)] = neuron_grams(weights, self.calibration)
        return least_squares_reconstruction(weights, neurons, self._grams[id(weights)])

    def __post_init__(self) -> None:
        small, large = self.small.dimensions, self.large.dimensions
        for anchor in (self.large, self.small):
            if anchor.architecture.objective != "causal":
                raise CompatibilityError(f"One of the anchors is a {anchor.config.model_type} model, which fills blanks.",
                                         "Models are made between two that predict the next token.",
                                         "Distil a masked-language model into the depth that you want.")
        if self.small.config.model_type != self.large.config.model_type or small.head_size != large.head_size:
            raise CompatibilityError(
                f"The anchors are a {self.small.config.model_type} with heads of {small.head_size} channels and a "
                f"{self.large.config.model_type} with heads of {large.head_size}.",
                "Anchors of one chain share architecture and head size.")
        if self.small.config.vocab_size != self.large.config.vocab_size:
            raise CompatibilityError(f"The anchors know {self.small.config.vocab_size:,} and {self.large.config.vocab_size:,} tokens.",
                                     "Anchors of one chain share their vocabulary.", "Bridge to the other vocabulary first.")

    @property
    def kept(self) -> tuple[int, ...]:
        """The block of `large` that each block of `small` was built from; spread evenly where the anchors were trained apart."""
        positions = {origin: position for position, origin in enumerate(self.large.origin)}
        if all(origin in positions for origin in self.small.origin):
            return tuple(positions[origin] for origin in self.small.origin)
        small, large = self.small.dimensions.layers, self.large.dimensions.layers
        return tuple(block * large // small for block in range(small))

    def runs(self) -> list[range]:
        """Return the blocks of `large` that each block of `small` speaks for."""
        return runs(self.ends or span_ends(self.large.dimensions.layers, self.small.dimensions.layers))


# ---------------------------------------------------------------------------------------------------- equation 3

Depth = Literal["identity", "replicate"]
Support = Literal["zero", "aware"]


def interpolate(bracket: AnchorPair, target: Dimensions, alpha: float, *, depth: Depth = "identity", fill: Support = "zero") -> Weights:
    """Interpolate two anchors at one target, by equation 3.

    Args:
        target: sizes between those of the anchors.
        alpha: share of the smaller anchor, 0 to 1.
        depth: what stands at depths that the small anchor lacks: silent blocks, or copies of the block before.
        fill: at weights that the small anchor lacks, ``zero`` takes the equation literally and leaves (1 - alpha) of the large
            one's; ``aware`` takes the large one's whole.

    Raises:
        ConfigError: alpha outside 0 to 1, or a target outside the bracket.
    """
    if not 0 <= alpha <= 1:
        raise ConfigError(f"alpha is {alpha}.", "A number from 0 (the larger anchor) to 1 (the smaller anchor) was expected.")
    check_between(target, bracket)
    if target == bracket.small.dimensions:
        return bracket.small
    if target == bracket.large.dimensions:
        return bracket.large
    large_layers, small_layers, silent = depth_maps(bracket, target.layers)
    large = resized(bracket.large, target, large_layers)
    selection = Selection.resize(bracket.small.dimensions, target, small_layers, silent if depth == "identity" else ())
    small = select(bracket.small, selection)
    there = support(bracket.small, selection) if fill == "aware" else {}
    mixed = {name: _mix(small.tensors[name], tensor, alpha, there.get(name)) for name, tensor in large.tensors.items()}
    return Weights(large.config, mixed, large.origin)


def _mix(small: Tensor, large: Tensor, alpha: float, there: Tensor | None) -> Tensor:
    mixed = alpha * small.float() + (1 - alpha) * large.float()
    return (mixed if there is None else torch.where(there, mixed, large.float())).to(large.dtype)


def depth_maps(bracket: AnchorPair, layers: int) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Return how a target of `layers` blocks is made of both anchors.

    Returns:
        The large anchor's blocks (those that the small one was built from, and others evenly between); for every position
        the small anchor's block, the last one that stands there or before; and the positions where the small one has none.
    """
    kept = bracket.kept
    others = [block for block in range(bracket.large.dimensions.layers) if block not in set(kept)]
    wanted = layers - len(kept)
    added = [others[(2 * place + 1) * len(others) // (2 * wanted)] for place in range(wanted)]
    chosen = tuple(sorted({*kept, *added}))
    small = tuple(max(sum(block <= position for block in kept) - 1, 0) for position in chosen)
    return chosen, small, tuple(place for place, block in enumerate(chosen) if block not in set(kept))


# ---------------------------------------------------------------------------------------------------- substitution


def substitute(bracket: AnchorPair, target: Dimensions, swapped: Sequence[int] | None = None) -> Weights:
    """Return the small anchor with some of its blocks swapped back for the runs of the large one that they speak for.

    Both are brought to the target's widths first; what the swapped blocks do not reach is filled with silent blocks.

    Args:
        swapped: numbers of the small anchor's blocks (default: the best by `AnchorPair.gains`; see `swap`).

    Raises:
        ConfigError: a target outside the bracket.
    """
    check_between(target, bracket)
    if target == bracket.small.dimensions:
        return bracket.small
    if target == bracket.large.dimensions:
        return bracket.large
    runs = bracket.runs()
    swapped = swap(bracket, target.layers) if swapped is None else swapped
    small = resized(bracket.with_intermediate_size(bracket.small, target.intermediate_size), replace(target, layers=len(runs)))
    large = bracket.with_intermediate_size(bracket.large, target.intermediate_size)
    large = resized(large, replace(target, layers=large.dimensions.layers))
    order = [(large, block) if number in set(swapped) else (small, number)
             for number, run in enumerate(runs) for block in (run if number in set(swapped) else (0,))]
    missing = target.layers - len(order)
    architecture = small.architecture
    tensors = {name: tensor for name, tensor in small.tensors.items() if architecture.block_of(name) is None}
    for position, (source, block) in enumerate(order):
        tensors |= {architecture.with_block(name, position): tensor for name, tensor in source.tensors.items()
                    if architecture.block_of(name) == block}
    origin = tuple(source.origin[block] for source, block in order)
    config = select(small, Selection.resize(small.dimensions, replace(target, layers=len(order)), [0] * len(order))).config
    made = Weights(config, tensors, origin)
    if missing:
        made = resized(made, target, [*range(len(order)), *[len(order) - 1] * missing], silent=range(len(order), target.layers))
    return made


def swap(bracket: AnchorPair, layers: int) -> tuple[int, ...]:
    """Return the blocks of the small anchor to swap back for a depth of `layers`; see `core.chains.sizes.cheapest_swaps`."""
    return cheapest_swaps(bracket.runs(), bracket.gains, layers)


# ---------------------------------------------------------------------------------------------------- sizes


def check_between(target: Dimensions, bracket: AnchorPair) -> None:
    """Raise ConfigError for sizes that do not lie between those of the anchors."""
    small, large = bracket.small.dimensions, bracket.large.dimensions
    for name in ("layers", "hidden", "heads", "key_value_heads", "intermediate_size"):
        low, wanted, high = (getattr(each, name) for each in (small, target, large))
        if not low <= wanted <= high:
            raise ConfigError(f"The target has {name.replace('_', ' ')} {wanted}.", f"The anchors have {low} and {high}.",
                              "Ask for a size between two anchors.")
