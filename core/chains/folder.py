"""A chain of anchors as a folder: open it, find any size between its anchors. Headers and records only, no weights and no torch.

    chain/
        chain.json            anchors in descending size, how they were made, what they cost, the measured curve
        anchors/0, 1, ...     model folders; 0 is the largest, with its units sorted by importance
        validation.npz        the held-out slice on which every loss here was measured, but for those below
        selection.npz         another held-out slice, on which swaps and shapes were selected: `swap_deltas` and the grid
        calibration.npz       a slice of the training text on which cut feed-forward parts are reconstructed

`core.methods.chain` builds such a folder; `core.chains.on_demand` makes models of any size from it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from core.chains.sizes import NEAR, cheapest_swaps, default_alpha, interpolate_shape, neighbours, solve, valid_shapes
from core.errors import ConfigError, CorruptModelError, ModelNotFoundError
from core.models.dimensions import Dimensions, ParameterCounter, from_record
from core.models.header import read_model_header
from core.students.layer_maps import layer_spans, span_ends
from core.system import reach
from core.system.paths import HOUSE_MODELS

FILE, VALIDATION, SELECTION, CALIBRATION = "chain.json", "validation.npz", "selection.npz", "calibration.npz"
FORMER_SELECTION = "choosing.npz"  # of release 0.1.0
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Anchor:
    """One anchor.

    Attributes:
        number: 0 for the largest.
        folder: its model folder, relative to the chain's.
        parameters: numbers, tied weights once.
        dimensions: all sizes.
        origin: for every block, the block of the largest anchor that it was built from; empty where it was trained apart.
        ends: for every block, the last block of the largest anchor whose output it was aligned with; empty without alignment.
        swap_deltas: for every block, what swapping it back for its span of the anchor above changes in loss, on the selection slice.
        validation_loss: nats per token, on the chain's slice.
        tokens, seconds: spent on training it: tokens that the student read, and the teacher too; wall time.
    """

    number: int
    folder: str
    parameters: int
    dimensions: Dimensions
    origin: tuple[int, ...]
    ends: tuple[int, ...]
    swap_deltas: tuple[float, ...]
    validation_loss: float
    tokens: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Target:
    """A size between two anchors, or at one.

    Attributes:
        dimensions, parameters: its sizes.
        larger_anchor: number of the larger of its two anchors; the other one follows it.
    """

    dimensions: Dimensions
    parameters: int
    larger_anchor: int

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Target:
        """Read a target from plain data; see `core.models.dimensions.as_record`."""
        return cls(**{**from_record(plain), "dimensions": Dimensions.from_dict(plain["dimensions"])})


@dataclass(frozen=True, slots=True)
class Point:
    """One measured size of the curve: validation losses in nats per token.

    Attributes:
        losses: method -> loss: ``substitution`` (None where hidden states were not aligned), ``interpolation`` at the default
            alpha, ``best_alpha``, ``alpha_0`` (the large anchor cut down), ``alpha_1`` and ``copied`` (the small one alone, expanded by
            zero-initialised blocks or by copies of its own),
            ``nearest`` (the nearest anchor as it is), ``random`` (new weights, mean over seeds).
        alphas: alpha -> loss of the sweep.
        random: losses of new weights, one a seed.
    """

    target: Target
    alpha: float
    losses: dict[str, float | None]
    alphas: dict[str, float] = field(default_factory=dict)
    random: tuple[float, ...] = ()


@dataclass(frozen=True)
class Chain:
    """An opened chain. Opening reads headers only; weights are loaded when a size is made.

    Attributes:
        reference: the reference that it was opened by.
        path: its folder.
        record: the plain data of ``chain.json``.
        grid: shapes between the anchors with the loss that substitution gives them on the selection slice; the solver chooses by it.
    """

    reference: str
    path: Path
    anchors: tuple[Anchor, ...]
    curve: tuple[Point, ...]
    record: Mapping[str, Any]
    grid: tuple[tuple[Dimensions, float], ...] = ()

    # ------------------------------------------------------------------------------------------ sizes

    @property
    def aligned(self) -> bool:
        """Whether the hidden states of neighbours were aligned, so that blocks can be swapped."""
        return all(anchor.ends for anchor in self.anchors)

    @cached_property
    def sizer(self) -> ParameterCounter:
        """Counts parameters at any sizes of this family."""
        return read_model_header(self.folder(0)).parameter_counter()

    @property
    def digest(self) -> str:
        """The build of this chain; it changes when the chain is built again."""
        return hashlib.sha256(json.dumps(self.record, sort_keys=True).encode()).hexdigest()

    def folder(self, number: int) -> Path:
        """Return the model folder of an anchor."""
        return self.path / self.anchors[number].folder

    def target(self, *, parameters: int | None = None, layers: int | None = None, hidden: int | None = None,
               feed_forward: int | None = None) -> Target:
        """Return the target size, given as a parameter count or by its sizes.

        A count that exists is given exactly; of any other, the nearest that exists.
        Sizes that are left out are those of a straight line between the two anchors around the depth.

        Raises:
            ConfigError: outside the anchors' range (which is named), or a count that no shape comes near (the nearest two are).
        """
        if parameters is not None:
            low, high = self.anchors[-1].parameters, self.anchors[0].parameters
            if not low <= parameters <= high:
                raise ConfigError(f"A model of {parameters:,} parameters was requested.",
                                  f"The chain '{self.reference}' reaches from {low:,} to {high:,}.", "Ask for a number between them.")
            larger = max(number for number, anchor in enumerate(self.anchors[:-1]) if anchor.parameters >= parameters)
            shape = self._best(parameters, larger)
            return Target(shape, self.sizer(shape), larger)
        low, high = self.anchors[-1].dimensions.layers, self.anchors[0].dimensions.layers
        if layers is None or not low <= layers <= high:
            raise ConfigError(f"A depth of {layers} blocks was requested.", f"The chain '{self.reference}' reaches from {low} to {high}.",
                              "Ask for a number between them, or give a parameter count.")
        larger = max(number for number, anchor in enumerate(self.anchors[:-1]) if anchor.dimensions.layers >= layers)
        shape = interpolate_shape(layers, self.anchors[larger + 1].dimensions, self.anchors[larger].dimensions, hidden, feed_forward)
        return Target(shape, self.sizer(shape), larger)

    def _best(self, parameters: int, larger: int) -> Dimensions:
        """Return, of the shapes with the nearest count, the one with the lowest expected loss; where nothing was measured, the solver's."""
        small, large = self.anchors[larger + 1].dimensions, self.anchors[larger].dimensions
        solved = solve(parameters, small, large, self.sizer)
        if solved in (small, large):
            return solved
        count = self.sizer(solved)
        measured = [(loss, shape != solved, shape) for shape in self._shapes[larger]
                    if self.sizer(shape) == count and (loss := self.attained(Target(shape, count, larger))) is not None]
        return min(measured)[2] if measured else solved

    def neighbours(self, target: Target) -> tuple[int | None, int | None]:
        """Return the next smaller and the next larger parameter count that the chain can give; None at its ends."""
        return neighbours(target.parameters, {self.sizer(shape) for shapes in self._shapes for shape in shapes})

    def better_nearby(self, target: Target) -> Target | None:
        """Return the size with the lowest expected loss within 3% of a size, between the same anchors.

        None where none is expected to be better by a thousandth of a nat, and where nothing was measured.
        """
        own, larger = self.attained(target), target.larger_anchor
        sizes = [Target(shape, self.sizer(shape), larger) for shape in self._shapes[larger]
                 if abs(self.sizer(shape) - target.parameters) <= NEAR * target.parameters]
        measured = [(loss, abs(size.parameters - target.parameters), size) for size in sizes if (loss := self.attained(size)) is not None]
        if own is None or not measured:
            return None
        loss, _, best = min(measured, key=lambda each: each[:2])
        return best if loss < own else None

    @cached_property
    def _shapes(self) -> tuple[tuple[Dimensions, ...], ...]:
        """Valid shapes below each anchor but the last."""
        return tuple(tuple(valid_shapes(small.dimensions, large.dimensions, self.sizer))
                     for large, small in zip(self.anchors[:-1], self.anchors[1:], strict=True))

    def attained(self, target: Target) -> float | None:
        """Return the loss that a size is expected to have, in nats per token, rounded to thousandths; None where nothing was measured.

        It is at most the smaller anchor's, which no created model exceeds (see `swaps`).
        """
        expected = self.expected(target.dimensions)
        return None if expected is None else round(min(expected, self._anchor_loss(self.anchors[target.larger_anchor + 1])), 3)

    def spans(self, number: int) -> list[range]:
        """Return the blocks of anchor `number` that each block of the next one stands for."""
        depths = (self.anchors[each].dimensions.layers for each in (number, number + 1))
        return layer_spans(self.ends(number) or span_ends(*depths))

    def swaps(self, target: Target) -> tuple[int, ...]:
        """Return the blocks of the smaller anchor that substitution swaps back for a size.

        None are swapped where measured losses say that the smaller anchor is better left as it is: then every inserted layer is
        zero-initialised (identity), and the model is as good as that anchor.
        """
        small, expected = self.anchors[target.larger_anchor + 1], self.expected(target.dimensions)
        if expected is not None and expected > self._anchor_loss(small):
            return ()
        return cheapest_swaps(self.spans(target.larger_anchor), small.swap_deltas, target.dimensions.layers)

    def expected(self, shape: Dimensions) -> float | None:
        """Return the loss that substitution is expected to give a shape on the selection slice, in nats per token.

        It is interpolated between the two measured shapes around it that differ from it in intermediate size alone; None where there
        are none. An anchor's is its own.
        """
        size = shape.intermediate_size
        alike = sorted((measured.intermediate_size, loss) for measured, loss in self.grid
                       if replace(measured, intermediate_size=size) == shape)
        below = max((each for each in alike if each[0] <= size), default=None)
        above = min((each for each in alike if each[0] >= size), default=None)
        if below is None or above is None:
            return None
        span = above[0] - below[0]
        return below[1] + ((size - below[0]) / span * (above[1] - below[1]) if span else 0.0)

    def _anchor_loss(self, anchor: Anchor) -> float:
        """Return an anchor's loss on the slice that the grid was measured on."""
        loss = self.expected(anchor.dimensions)
        return anchor.validation_loss if loss is None else loss

    def default_alpha(self, target: Target) -> float:
        """Return alpha by the relative distance in parameters; see `core.chains.sizes.default_alpha`."""
        large, small = self.anchors[target.larger_anchor], self.anchors[target.larger_anchor + 1]
        return default_alpha(small.parameters, target.parameters, large.parameters)

    def ends(self, number: int) -> tuple[int, ...] | None:
        """Return the last block of anchor `number` that each block of the next one stands for; None where they were not aligned."""
        large, small = self.anchors[number], self.anchors[number + 1]
        places = {end: block for block, end in enumerate(large.ends)}
        return tuple(places[end] for end in small.ends) if small.ends and all(end in places for end in small.ends) else None


# ---------------------------------------------------------------------------------------------------- opening


def house_chains() -> dict[str, Path]:
    """Return the chains that ship with the project, by name."""
    return {path.parent.name: path.parent for path in sorted(HOUSE_MODELS.glob(f"*/{FILE}"))}


def open_chain(reference: str) -> Chain:
    """Open a house chain or a chain's folder.

    Raises:
        ModelNotFoundError: no chain has that reference.
        CorruptModelError: an anchor is missing or half-trained, or the record cannot be read.
    """
    if reference not in house_chains() and (outside := reach.refusal(reference)):
        raise ModelNotFoundError(*outside)
    path = house_chains().get(reference) or Path(os.path.expanduser(reference))  # any text, as of a user who is none
    if not os.path.isfile(path / FILE):  # unlike pathlib's, it takes names of any length
        unfinished = os.path.isdir(path / "anchors")
        raise ModelNotFoundError(f"There is no chain '{reference}'." if not unfinished else f"The chain '{reference}' is not complete.",
                                 f"One of {', '.join(house_chains()) or 'no house chains'}, a chain's run or folder was expected.",
                                 "Resume its run until every anchor is trained." if unfinished else "")
    try:
        record = json.loads((path / FILE).read_text(encoding="utf-8"))
        anchors = tuple(_anchor(each) for each in record["anchors"])
        curve = tuple(_point(each) for each in record["curve"])
        grid = tuple((Dimensions.from_dict(shape), loss) for shape, loss in record["grid"])
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptModelError(f"'{path / FILE}' cannot be read: {error}.", "", "Build the chain again.") from error
    for anchor in anchors:
        if not (path / anchor.folder / "config.json").is_file():
            raise CorruptModelError(f"Anchor {anchor.number} of the chain '{reference}' is missing.",
                                    f"A model folder was expected at {path / anchor.folder}.", "Resume the chain's run, or build it again.")
    return Chain(reference, path, anchors, curve, record, grid)


def selection_file(folder: Path) -> Path:
    """Return where the selection slice of a chain lies, or will lie; chains of release 0.1.0 have it under its former name."""
    former = folder / FORMER_SELECTION
    return former if former.is_file() else folder / SELECTION


def anchor_folder(reference: str) -> Path | None:
    """Return the model folder of ``CHAIN:NUMBER``; None for anything else. Raises ModelNotFoundError for a number that it lacks."""
    found = re.fullmatch(r"(.+):(\d+)", reference, re.DOTALL)
    if found is None:
        return None
    path = house_chains().get(found[1]) or Path(os.path.expanduser(found[1]))
    if not (path / FILE).is_file():
        return None
    chain = open_chain(found[1])
    if int(found[2]) >= len(chain.anchors):
        raise ModelNotFoundError(f"'{reference}' was requested.", f"The chain has anchors 0 to {len(chain.anchors) - 1}.")
    return chain.folder(int(found[2]))


def _anchor(plain: Mapping[str, Any]) -> Anchor:
    plain = from_record(plain)
    return Anchor(**{**plain, "dimensions": Dimensions.from_dict(plain["dimensions"]),
                     **{name: tuple(plain[name]) for name in ("origin", "ends", "swap_deltas")}})


def _point(plain: Mapping[str, Any]) -> Point:
    return Point(**{**plain, "random": tuple(plain.get("random", ())), "target": Target.from_dict(plain["target"])})
