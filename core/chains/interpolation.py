"""Any size between two anchors of a chain, without training.

Two ways lead from a small anchor S and a large one B to a model between them.

*Interpolation* (2605.07783, equation 3), with alpha belonging to the smaller anchor:

    theta = alpha * Trans(theta_S) + (1 - alpha) * Trans(theta_B)

Trans makes both of the target's shape: the small one is expanded (`core.students.resizing`), the large one is cut to its first units
and to blocks that include those which the small one was built from. The paper leaves open which blocks and units; here the
small anchor's blocks stand where their originals stood, and every layer between is zero-initialised (identity), or a copy of the one
before it.

*Substitution* replaces blocks of S by the spans of B's blocks that they were aligned with: wherever the hidden states at the ends of
spans were matched during distillation, the depth grows by the length of the span less one. At one width and between two models it is
Boomerang distillation (2510.05064); choosing the blocks by a measurement is KLPatch's idea (2607.08170), which measures the KL at every
size, where here the loss after each single swap is measured once, when the chain is built. New here are widths (B is cut to its most
important neurons and reconstructed, `core.students.reconstruction`), several anchors in one chain, and S itself as the baseline. The
published recipe also takes B's norm and head with its last span and B's embeddings with its first, which unties a tied model; here
those of S stay.

Shapes: L blocks, D channels, F neurons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from core.chains.anchors import PlannedAnchor, require_neighbours
from core.chains.sizes import cheapest_swaps
from core.errors import ConfigError
from core.models.dimensions import Dimensions
from core.students.layer_maps import layer_spans, span_ends
from core.students.reconstruction import least_squares_reconstruction, neuron_grams
from core.students.resizing import Selection, Weights, inherited_mask, resized, select


@dataclass(frozen=True, slots=True)
class AnchorPair:
    """Two neighbouring anchors.

    Attributes:
        small, large: their weights, `small` with fewer or narrower blocks.
        ends: the last block of `large` that each block of `small` is aligned with; None where hidden states were not aligned.
        swap_deltas: what swapping a block of `small` back for its span changes in held-out cross-entropy, nats per token, each alone.
        calibration: token ids (B, T) on which cut feed-forward parts are refitted (`core.students.reconstruction`); None to cut only.
    """

    small: Weights
    large: Weights
    ends: tuple[int, ...] | None = None
    swap_deltas: tuple[float, ...] | None = None
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
        require_neighbours(*(PlannedAnchor(each.config.to_dict(), each.dimensions, frozenset(each.tensors))
                             for each in (self.large, self.small)))

    @property
    def kept(self) -> tuple[int, ...]:
        """The block of `large` that each block of `small` was built from; spread evenly where the anchors were trained apart."""
        positions = {origin: position for position, origin in enumerate(self.large.origin)}
        if all(origin in positions for origin in self.small.origin):
            return tuple(positions[origin] for origin in self.small.origin)
        small, large = self.small.dimensions.layers, self.large.dimensions.layers
        return tuple(block * large // small for block in range(small))

    def spans(self) -> list[range]:
        """Return the blocks of `large` that each block of `small` is aligned with."""
        return layer_spans(self.ends or span_ends(self.large.dimensions.layers, self.small.dimensions.layers))


# ---------------------------------------------------------------------------------------------------- equation 3

Depth = Literal["identity", "replicate"]
Missing = Literal["zero", "keep_large"]


def interpolate(pair: AnchorPair, target: Dimensions, alpha: float, *, depth: Depth = "identity", missing: Missing = "zero") -> Weights:
    """Interpolate two anchors at one target, by equation 3.

    Args:
        target: sizes between those of the anchors.
        alpha: share of the smaller anchor, 0 to 1.
        depth: what stands at depths that the small anchor lacks: zero-initialised (identity) blocks, or copies of the block before.
        missing: at weights that the small anchor lacks, ``zero`` takes the equation literally and leaves (1 - alpha) of the large
            one's; ``keep_large`` takes the large one's whole.

    Raises:
        ConfigError: alpha outside 0 to 1, or a target outside the sizes of the pair.
    """
    if not 0 <= alpha <= 1:
        raise ConfigError(f"alpha is {alpha}.", "A number from 0 (the larger anchor) to 1 (the smaller anchor) was expected.")
    check_between(target, pair)
    if target == pair.small.dimensions:
        return pair.small
    if target == pair.large.dimensions:
        return pair.large
    large_layers, small_layers, identity = depth_maps(pair, target.layers)
    large = resized(pair.large, target, large_layers)
    selection = Selection.resize(pair.small.dimensions, target, small_layers, identity if depth == "identity" else ())
    small = select(pair.small, selection)
    inherited = inherited_mask(pair.small, selection) if missing == "keep_large" else {}
    mixed = {name: _mix(small.tensors[name], tensor, alpha, inherited.get(name)) for name, tensor in large.tensors.items()}
    return Weights(large.config, mixed, large.origin)


def _mix(small: Tensor, large: Tensor, alpha: float, inherited: Tensor | None) -> Tensor:
    mixed = alpha * small.float() + (1 - alpha) * large.float()
    return (mixed if inherited is None else torch.where(inherited, mixed, large.float())).to(large.dtype)


def depth_maps(pair: AnchorPair, layers: int) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Return how a target of `layers` blocks is made of both anchors.

    Returns:
        The large anchor's blocks (those that the small one was built from, and others evenly between); for every position
        the small anchor's block, the last one that stands there or before; and the positions where the small one has none.
    """
    kept = pair.kept
    others = [block for block in range(pair.large.dimensions.layers) if block not in set(kept)]
    wanted = layers - len(kept)
    added = [others[(2 * place + 1) * len(others) // (2 * wanted)] for place in range(wanted)]
    chosen = tuple(sorted({*kept, *added}))
    small = tuple(max(sum(block <= position for block in kept) - 1, 0) for position in chosen)
    return chosen, small, tuple(place for place, block in enumerate(chosen) if block not in set(kept))


# ---------------------------------------------------------------------------------------------------- substitution


def substitute(pair: AnchorPair, target: Dimensions, swapped: Sequence[int] | None = None) -> Weights:
    """Return the small anchor with some of its blocks swapped back for the spans of the large one that they are aligned with.

    Both are brought to the target's widths first; what the swapped blocks do not reach is filled with identity blocks.

    Args:
        swapped: numbers of the small anchor's blocks (default: the best by `AnchorPair.swap_deltas`; see `swap`).

    Raises:
        ConfigError: a target outside the sizes of the pair.
    """
    check_between(target, pair)
    if target == pair.small.dimensions:
        return pair.small
    if target == pair.large.dimensions:
        return pair.large
    spans = pair.spans()
    swapped = swap(pair, target.layers) if swapped is None else swapped
    small = resized(pair.with_intermediate_size(pair.small, target.intermediate_size), replace(target, layers=len(spans)))
    large = pair.with_intermediate_size(pair.large, target.intermediate_size)
    large = resized(large, replace(target, layers=large.dimensions.layers))
    order = [(large, block) if number in set(swapped) else (small, number)
             for number, span in enumerate(spans) for block in (span if number in set(swapped) else (0,))]
    lacking = target.layers - len(order)
    architecture = small.architecture
    tensors = {name: tensor for name, tensor in small.tensors.items() if architecture.block_of(name) is None}
    for position, (source, block) in enumerate(order):
        tensors |= {architecture.with_block(name, position): tensor for name, tensor in source.tensors.items()
                    if architecture.block_of(name) == block}
    origin = tuple(source.origin[block] for source, block in order)
    config = select(small, Selection.resize(small.dimensions, replace(target, layers=len(order)), [0] * len(order))).config
    result = Weights(config, tensors, origin)
    if lacking:
        result = resized(result, target, [*range(len(order)), *[len(order) - 1] * lacking], identity=range(len(order), target.layers))
    return result


def swap(pair: AnchorPair, layers: int) -> tuple[int, ...]:
    """Return the blocks of the small anchor to swap back for a depth of `layers`; see `core.chains.sizes.cheapest_swaps`."""
    return cheapest_swaps(pair.spans(), pair.swap_deltas, layers)


# ---------------------------------------------------------------------------------------------------- sizes


def check_between(target: Dimensions, pair: AnchorPair) -> None:
    """Raise ConfigError for sizes that do not lie between those of the anchors."""
    small, large = pair.small.dimensions, pair.large.dimensions
    for name in ("layers", "hidden", "heads", "key_value_heads", "intermediate_size"):
        low, wanted, high = (getattr(each, name) for each in (small, target, large))
        if not low <= wanted <= high:
            raise ConfigError(f"The target has {name.replace('_', ' ')} {wanted}.", f"The anchors have {low} and {high}.",
                              "Ask for a size between two anchors.")
