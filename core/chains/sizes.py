"""List the valid shapes between two anchors, and find the one closest to a requested parameter count.

No torch: forms move a slider over these.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from core.errors import ConfigError
from core.models.dimensions import Dimensions, ParameterCounter

TOLERANCE = 0.05  # relative; a parameter count that no shape comes this near to is refused
NEURON_STEP = 8  # neurons
WIDTH_STEP = 8  # channels; of widths between anchors whose heads do not follow the width
NEAR = 0.03  # relative; a size this near to a requested one is offered in its place where it is expected to be better


def default_alpha(small: int, target: int, large: int) -> float:
    """Return the relative distance in parameters, (P_B - P_t) / (P_B - P_S): 1 at the small anchor, 0 at the large one.

    The paper says that alpha follows "the relative distance in the parameter space" and no more; this rule gives its
    best values for two of five targets (0.908 where it found 0.9).
    """
    return (large - target) / (large - small) if large != small else 1.0


def valid_shapes(small: Dimensions, large: Dimensions, sizer: ParameterCounter) -> list[Dimensions]:
    """Return all sizes between two anchors: any depth, and the widths of `_widths`."""
    widths = list(_widths(small, large))
    shapes = {small, large, *(replace(wide, layers=layers) for layers in range(small.layers, large.layers + 1) for wide in widths)}
    return sorted(shape for shape in shapes if sizer(small) <= sizer(shape) <= sizer(large))


def heads_follow_width(small: Dimensions, large: Dimensions) -> bool:
    """Return whether both anchors have as many heads for their width, in groups of one size, as nested anchors do."""
    return (small.key_value_heads * large.hidden == large.key_value_heads * small.hidden and small.group_size == large.group_size
            and not small.hidden % large.width_step)


def _widths(small: Dimensions, large: Dimensions) -> Iterator[Dimensions]:
    """Yield all widths between two anchors, at the depth of the larger one.

    Where heads follow the width, it changes by whole groups of heads; elsewhere in even steps, and the heads lie on the straight line
    between the anchors, in whole groups (those of both, where they have the same). Where anchors of one width differ in heads, all
    numbers of heads between theirs are there. Inner widths: see `_inner_widths`.
    """
    follow = heads_follow_width(small, large)
    step = large.width_step if follow else WIDTH_STEP
    for hidden in {*range(small.hidden, large.hidden, step), large.hidden}:
        if follow:
            choices = [large.with_width(hidden)]
        elif small.hidden != large.hidden:
            choices = [_on_line(hidden, small, large)]
        else:
            choices = [replace(large, heads=heads, key_value_heads=key_value_heads) for heads, key_value_heads in _heads(small, large)]
        for wide in choices:
            yield from (replace(wide, intermediate_size=neurons) for neurons in _inner_widths(small, large, wide))


def _on_line(hidden: int, small: Dimensions, large: Dimensions) -> Dimensions:
    """Return the sizes at a width, with heads and inner width on the straight line between anchors of two widths."""
    share = (hidden - small.hidden) / (large.hidden - small.hidden)
    heads, key_value_heads = _nearest_heads(share, small, large)
    return replace(large, hidden=hidden, heads=heads, key_value_heads=key_value_heads,
                   intermediate_size=_stepped(share, small.intermediate_size, large.intermediate_size))


def _stepped(share: float, low: int, high: int) -> int:
    """Return an inner width on the line from `low` to `high`, in even steps from either."""
    return high if share == 1 else min(low + round(share * (high - low) / NEURON_STEP) * NEURON_STEP, high)


def _heads(small: Dimensions, large: Dimensions) -> list[tuple[int, int]]:
    """Return all numbers of query heads, and of key and value heads, between two anchors: in whole groups, of sizes between theirs."""
    groups = sorted((small.group_size, large.group_size))
    return [(key_value_heads * group, key_value_heads) for key_value_heads in range(small.key_value_heads, large.key_value_heads + 1)
            for group in range(groups[0], groups[1] + 1) if small.heads <= key_value_heads * group <= large.heads]


def _nearest_heads(share: float, small: Dimensions, large: Dimensions) -> tuple[int, int]:
    """Return the numbers of heads nearest to the straight line between two anchors."""
    def distance(heads: tuple[int, int]) -> tuple[float, float]:
        ends = (small.heads, large.heads), (small.key_value_heads, large.key_value_heads)
        query, key_value = (abs(low + share * (high - low) - each) for each, (low, high) in zip(heads, ends, strict=True))
        return query, key_value

    return min(_heads(small, large), key=distance)


def _inner_widths(small: Dimensions, large: Dimensions, wide: Dimensions) -> Sequence[int]:
    """Where the anchors differ in width, the inner width keeps its ratio to it (table 8 of 2605.07783), or lies between both ratios."""
    if small.hidden != large.hidden:
        return (min(max(wide.intermediate_size, small.intermediate_size), large.intermediate_size),)
    if small.intermediate_size == large.intermediate_size:
        return (small.intermediate_size,)
    return (*range(small.intermediate_size, large.intermediate_size, NEURON_STEP), large.intermediate_size)


def solve(parameters: int, small: Dimensions, large: Dimensions, sizer: ParameterCounter, slack: float = 0.0) -> Dimensions:
    """Return the sizes between two anchors whose parameter count is nearest.

    Among shapes of equally near counts, the one in which depth and width grow together most, as on a straight line between the anchors.

    Args:
        slack: relative; counts that are this much farther away than the nearest count as equally near, unless one is met exactly.

    Raises:
        ConfigError: no shape comes within `TOLERANCE`; the nearest two are named.
    """
    shapes = sorted(valid_shapes(small, large, sizer), key=lambda shape: abs(sizer(shape) - parameters))
    best = abs(sizer(shapes[0]) - parameters)
    if best > TOLERANCE * parameters:
        below, above = neighbours(parameters, {sizer(shape) for shape in shapes})
        raise ConfigError(f"{parameters:,} parameters were requested.",
                          f"The nearest sizes between these anchors are {' and '.join(f'{each:,}' for each in (below, above) if each)}.",
                          "Ask for one of them, or give the depth and width.")
    farthest = best + slack * parameters if best else 0  # a count that exists is given exactly, so that asking for it again changes nothing
    near = [shape for shape in shapes if abs(sizer(shape) - parameters) <= farthest]
    share = (parameters - sizer(small)) / max(sizer(large) - sizer(small), 1)
    return min(near, key=lambda shape: (_distance_from_line(shape, small, large, share), abs(sizer(shape) - parameters)))


def neighbours(parameters: int, counts: Iterable[int]) -> tuple[int | None, int | None]:
    """Return the next smaller and the next larger of some parameter counts; None where there is none."""
    counts = list(counts)
    return (max((count for count in counts if count < parameters), default=None),
            min((count for count in counts if count > parameters), default=None))


def _distance_from_line(shape: Dimensions, small: Dimensions, large: Dimensions, share: float) -> float:
    """Return the largest distance of a size from the straight line between the anchors, as a share of its own range."""
    distances = [abs((getattr(shape, name) - getattr(small, name)) / span - share)
                 for name in ("layers", "hidden", "intermediate_size") if (span := getattr(large, name) - getattr(small, name))]
    return round(max(distances, default=0.0), 3)


def interpolate_shape(layers: int, small: Dimensions, large: Dimensions, hidden: int | None = None,
                      intermediate_size: int | None = None) -> Dimensions:
    """Return the sizes at a given depth: the widths that are not given lie on the straight line between the anchors.

    Raises:
        ConfigError: a width outside the anchors' range, or one that no whole number of head groups fills.
    """
    span = large.layers - small.layers
    share = (layers - small.layers) / span if span else 1.0
    follow = heads_follow_width(small, large)
    if hidden is None:
        step = large.width_step if follow else WIDTH_STEP
        hidden = small.hidden + round(share * (large.hidden - small.hidden) / step) * step
        hidden = large.hidden if share == 1 else min(hidden, large.hidden)
    if not small.hidden <= hidden <= large.hidden:
        raise ConfigError(f"A width of {hidden} channels was requested.", f"Around {layers} blocks the chain has {small.hidden} to "
                          f"{large.hidden}.", "Ask for a width between them.")
    if follow:
        wide = large.with_width(hidden, layers=layers)
    elif small.hidden != large.hidden:
        wide = replace(_on_line(hidden, small, large), layers=layers)
    else:
        heads, key_value_heads = _nearest_heads(share, small, large)
        wide = replace(large, layers=layers, heads=heads, key_value_heads=key_value_heads)
    low, high = small.intermediate_size, large.intermediate_size
    if intermediate_size is None:
        intermediate_size = wide.intermediate_size if small.hidden != large.hidden else low + round(share * (high - low))
        intermediate_size = min(max(intermediate_size, low), high)
    if not low <= intermediate_size <= high:
        raise ConfigError(f"An inner width of {intermediate_size} was requested.", f"Around {layers} blocks the chain has {low} to {high}.",
                          "Choose a width between them.")
    return replace(wide, intermediate_size=intermediate_size)


def cheapest_swaps(spans: Sequence[range], swap_deltas: Sequence[float] | None, layers: int) -> tuple[int, ...]:
    """Return the blocks of a small anchor to swap back for their spans of a large one, to reach a depth of `layers`.

    It is the choice with the lowest sum of `swap_deltas` (see `core.chains.interpolation.AnchorPair`) among those that come as
    near to the depth from below as any does.
    """
    lengths = [len(span) - 1 for span in spans]
    deltas = swap_deltas or (0.0,) * len(lengths)
    best: dict[int, tuple[float, tuple[int, ...]]] = {0: (0.0, ())}  # blocks added -> lowest sum of deltas, and how
    for block, length in enumerate(lengths):
        for added, (total, chosen) in sorted(best.items(), reverse=True):
            candidate = (total + deltas[block], (*chosen, block))
            best[added + length] = min(best.get(added + length, candidate), candidate)
    return best[max(added for added in best if added <= layers - len(lengths))][1]
