"""Analysis of a chain's measured curve: losses between measured sizes, the composition of a size, costs. No Streamlit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from core.chains.folder import Anchor, Chain, Point, Target
from core.chains.sizes import valid_shapes
from core.system import units

SUBSTITUTION: Final = "substitution"
INTERPOLATION: Final = "interpolation"
EXPANSIONS = ("alpha_1", "copied")  # of the smaller anchor alone, which never becomes the larger one
SLIDER_STEPS = 160


# ---------------------------------------------------------------------------------------------------- sizes


def selectable_sizes(chain: Chain) -> list[int]:
    """Return the parameter counts that the slider offers, ascending: the anchors, and sizes that exist, about evenly spaced."""
    anchors = [anchor.parameters for anchor in chain.anchors]
    there = {chain.sizer(shape) for large, small in zip(chain.anchors[:-1], chain.anchors[1:], strict=True)
             for shape in valid_shapes(small.dimensions, large.dimensions, chain.sizer)}
    counts = np.array(sorted({*there, *anchors}))
    even = np.linspace(counts[0], counts[-1], SLIDER_STEPS + 1)
    return sorted({*anchors, *(int(counts[np.abs(counts - each).argmin()]) for each in even)})


def nearest(options: Sequence[int], requested: int) -> int:
    """Return the option that is closest to the requested one."""
    return min(options, key=lambda option: abs(option - requested))


def anchors_around(chain: Chain, target: Target) -> tuple[Anchor, Anchor]:
    """Return the larger and the smaller of the two anchors that a size lies between."""
    return chain.anchors[target.larger_anchor], chain.anchors[target.larger_anchor + 1]


def anchor_at(chain: Chain, target: Target) -> Anchor | None:
    """Return the anchor that has exactly these sizes, if one does."""
    return next((anchor for anchor in anchors_around(chain, target) if anchor.dimensions == target.dimensions), None)


def composition(chain: Chain, target: Target) -> list[tuple[int, int] | None]:
    """Return for every block of a model created by substitution: its anchor's number and its block there; None for an identity block."""
    swaps = set(chain.swaps(target))
    sources = [(target.larger_anchor, block) if number in swaps else (target.larger_anchor + 1, number)
            for number, span in enumerate(chain.spans(target.larger_anchor)) for block in (span if number in swaps else (0,))]
    return [*sources, *[None] * (target.dimensions.layers - len(sources))]


# ---------------------------------------------------------------------------------------------------- the curve


def curve(chain: Chain, method: str) -> pd.DataFrame:
    """Measured sizes of one method, ascending: columns ``parameters`` and ``loss``.

    Anchors are on the curve where the method gives them back. The larger anchor cut down does not become the smaller one, nor the
    other way round: between two such stretches stands a row of nothing, so that no line joins them.
    """
    pieces: list[tuple[float, float]] = []
    for large, small in zip(chain.anchors[-2::-1], chain.anchors[:0:-1], strict=True):
        measured = sorted((point.target.parameters, loss) for point in chain.curve
                          if point.target.larger_anchor == large.number and (loss := point.losses.get(method)) is not None)
        if measured:
            below = [(small.parameters, small.validation_loss)] if method != "alpha_0" else []
            above = [(large.parameters, large.validation_loss)] if method not in EXPANSIONS else []
            pieces += [*below, *measured, *above, *([(math.nan, math.nan)] if method in ("alpha_0", *EXPANSIONS) else [])]
    return pd.DataFrame(pieces, columns=["parameters", "loss"], dtype=float).drop_duplicates(ignore_index=True)


def expected_loss(chain: Chain, parameters: int, method: str) -> float | None:
    """Return the loss linearly interpolated between the measured sizes around it; None where nothing was measured."""
    table = curve(chain, method)
    return float(np.interp(parameters, table["parameters"], table["loss"])) if len(table) else None


def nearest_point(chain: Chain, target: Target) -> Point | None:
    """Return the measured size closest to a size, between the same anchors."""
    points = [point for point in chain.curve if point.target.larger_anchor == target.larger_anchor]
    return min(points, key=lambda point: abs(point.target.parameters - target.parameters), default=None)


def interpolation_loss(point: Point) -> float:
    """Return the loss of interpolation at the default alpha, which every point has: it needs no aligned states."""
    loss = point.losses[INTERPOLATION]
    assert loss is not None
    return loss


def advice(chain: Chain, target: Target, expected: float) -> str:
    """Return the sentence that compares the expected loss of a size with the anchor closest to it, in Markdown."""
    anchor = min(anchors_around(chain, target), key=lambda each: abs(each.parameters - target.parameters))
    size, loss = units.count(anchor.parameters), anchor.validation_loss
    if loss < expected - 0.0005:
        return (f"**The nearest anchor is better**: anchor {anchor.number} ({size} parameters) has {loss:.3f} nats/token, "
                f"{expected - loss:.3f} less. Create this size only if you need it.")
    return f"The nearest anchor, {anchor.number} ({size} parameters), has {loss:.3f} nats/token, {_against(expected, loss)} here."


def describe_sweep(chain: Chain, point: Point) -> str:
    """Return the result of the alpha sweep at one size, in Markdown."""
    _, small = anchors_around(chain, point.target)
    level, formula = small.validation_loss, interpolation_loss(point)
    name, size = f"anchor {small.number}", units.count(point.target.parameters)
    alpha, best = min(((float(alpha), loss) for alpha, loss in point.alphas.items()), key=lambda pair: pair[1])
    parts = [f"At {size} parameters the published formula with alpha = {point.alpha:.2f} has a loss of {formula:.3f} nats/token, "
             f"**{_against(formula, level)} than {name} itself** ({level:.3f})."]
    if best < level - 0.0005:
        parts.append(f"The best alpha of the sweep, {alpha:g}, is {_against(best, level)} than {name}.")
    else:
        parts.append(f"No alpha of the sweep is better than {name}.")
    swap = point.losses.get(SUBSTITUTION)
    if swap is not None:
        parts.append(f"Substitution has {swap:.3f}, {_against(swap, level)} than {name} and {_against(swap, best)} than the best alpha.")
    return " ".join(parts)


def _against(loss: float, other: float) -> str:
    difference = loss - other
    if abs(difference) < 0.0005:
        return "no different"
    return f"{abs(difference):.3f} {'worse' if difference > 0 else 'better'}"


# ---------------------------------------------------------------------------------------------------- cost


@dataclass(frozen=True, slots=True)
class Costs:
    """Training cost of a chain's anchors.

    Attributes:
        steps: anchors that were trained.
        tokens: training tokens of the students, which their teachers process too.
        seconds: wall time of training and evaluation.
    """

    steps: int
    tokens: int
    seconds: float

    def direct(self, sizes: int) -> tuple[float, float]:
        """Tokens and seconds of this many direct distillations, each at the mean cost of one anchor of the chain."""
        return sizes * self.tokens / self.steps, sizes * self.seconds / self.steps

    @property
    def break_even(self) -> int:
        """From this many sizes on the chain costs less."""
        return self.steps + 1


def costs(chain: Chain) -> Costs | None:
    """None where no cost was recorded, as in a chain of checkpoints that existed before."""
    trained = [anchor for anchor in chain.anchors if anchor.tokens]
    if not trained:
        return None
    return Costs(len(trained), sum(anchor.tokens for anchor in trained), sum(anchor.seconds for anchor in trained))


def describe_costs(spent: Costs, sizes: int) -> str:
    """Return the ledger in one sentence, in Markdown."""
    tokens, seconds = spent.direct(sizes)
    return (f"Training the {spent.steps} anchors below the largest took {units.count(spent.tokens)} tokens and "
            f"{units.duration(spent.seconds)}, for any number of models created afterwards. {sizes} direct distillations would take "
            f"{units.count(tokens)} tokens and {units.duration(seconds)}: **{tokens / spent.tokens:.3g} times as much**. "
            f"The chain costs less from {spent.break_even} sizes on.")
