"""The sizes that make a model larger or smaller, read from a configuration and written into one, without torch.

    parameters(dimensions) = sum over parameters of the product of their axes

so the size of a model that does not exist yet is known from the parameter names of one that does.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from core.config import StudentSpec
from core.errors import ConfigError
from core.models.architectures import architecture_of

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


@dataclass(frozen=True, slots=True, order=True)
class Dimensions:
    """Sizes of a model.

    Attributes:
        layers: blocks.
        hidden: channels of the residual stream.
        heads, key_value_heads: query heads of a block, and the key and value heads that groups of them share.
        head_size: channels of one head.
        neurons: inner width of the feed-forward part.
    """

    layers: int
    hidden: int
    heads: int
    key_value_heads: int
    head_size: int
    neurons: int

    @classmethod
    def of(cls, config: PreTrainedConfig | Mapping[str, Any]) -> Dimensions:
        """From a configuration, as an object or as the plain data of ``config.json``. Raises UnsupportedModelError, CorruptModelError."""
        plain = config if isinstance(config, Mapping) else config.to_dict()
        anatomy = architecture_of(plain)
        layers, hidden, heads = (anatomy.dimension(plain, key) for key in (anatomy.depth_key, anatomy.width_key, anatomy.heads_key))
        return cls(layers, hidden, heads,
                   key_value_heads=plain.get(anatomy.key_value_heads_key) or heads if anatomy.key_value_heads_key else heads,
                   head_size=(plain.get(anatomy.head_size_key) if anatomy.head_size_key else None) or hidden // heads,
                   neurons=plain.get(anatomy.neurons_key) or 4 * hidden)

    @property
    def group(self) -> int:
        """Query heads that share one key and value head."""
        return self.heads // self.key_value_heads

    def size(self, axis: str) -> int:
        """Length of one of `core.models.architectures.AXES`. Raises KeyError for ``-``, whose length does not depend on these sizes."""
        return {"read": self.hidden, "written": self.hidden, "gain": self.hidden, "shift": self.hidden,
                "heads": self.heads * self.head_size, "kv": self.key_value_heads * self.head_size,
                "qkv": 3 * self.heads * self.head_size, "qkv_head": 3 * self.heads * self.head_size, "neurons": self.neurons}[axis]

    def with_width(self, hidden: int | None = None, neurons: int | None = None, layers: int | None = None) -> Dimensions:
        """Other sizes of the same family: heads keep their size and their groups, so the width moves in whole groups of heads.

        The feed-forward part keeps its ratio to the width where `neurons` is not given.

        Raises:
            ConfigError: a width that no whole number of head groups fills.
        """
        hidden = self.hidden if hidden is None else hidden
        step = self.width_step
        if hidden < step or hidden % step:
            lower, upper = max(step, hidden // step * step), (hidden // step + 1) * step
            raise ConfigError(f"A width of {hidden} channels was asked for.",
                              f"Heads of {self.head_size} channels in groups of {self.group} need a multiple of {step}.",
                              f"Use {lower} or {upper}.")
        key_value_heads = self.key_value_heads * hidden // self.hidden
        return replace(self, hidden=hidden, key_value_heads=key_value_heads, heads=key_value_heads * self.group,
                       neurons=neurons or max(1, round(self.neurons * hidden / self.hidden)), layers=layers or self.layers)

    @property
    def width_step(self) -> int:
        """The smallest step of the width: the channels that belong to one key and value head."""
        return self.hidden // math.gcd(self.hidden, self.key_value_heads)


def student_dimensions(spec: StudentSpec, teacher: Dimensions) -> Dimensions:
    """The widths of a student, at the teacher's depth.

    Raises:
        ConfigError: wider than the teacher, or a width that no whole number of head groups fills.
    """
    for name, wanted, there in (("hidden", spec.hidden, teacher.hidden), ("feed_forward", spec.feed_forward, teacher.neurons)):
        if wanted is not None and wanted > there:
            raise ConfigError(f"student.{name} is {wanted}.", f"The teacher has {there}, so {there} at most was expected.",
                              f"Set student.{name} to {there} or less.")
    return teacher.with_width(spec.hidden, spec.feed_forward)


def with_dimensions(config: PreTrainedConfig, wanted: Dimensions) -> PreTrainedConfig:
    """A copy of a configuration with other widths; the depth is `core.models.architectures.with_blocks`' business.

    Raises:
        ConfigError: an architecture whose heads always fill the width, and sizes where they do not.
    """
    anatomy, result = architecture_of(config), copy.deepcopy(config)
    if anatomy.head_size_key is None and wanted.heads * wanted.head_size != wanted.hidden:
        raise ConfigError(f"{wanted.heads} heads of {wanted.head_size} channels and a width of {wanted.hidden} were asked for.",
                          f"In a {anatomy.model_type} model the heads fill the width.")
    setattr(result, anatomy.width_key, wanted.hidden)
    setattr(result, anatomy.heads_key, wanted.heads)
    setattr(result, anatomy.neurons_key, wanted.neurons)
    if anatomy.key_value_heads_key:
        setattr(result, anatomy.key_value_heads_key, wanted.key_value_heads)
    if anatomy.head_size_key:
        setattr(result, anatomy.head_size_key, wanted.head_size)
    return result


def shapes_at(shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, Any], wanted: Dimensions) -> dict[str, tuple[int, ...]]:
    """The shapes of a model's parameters at other widths and the same depth.

    Args:
        shapes: by canonical name, as `core.models.checkpoints.parameters` gives them.
        config: the plain data of its ``config.json``.
    """
    anatomy = architecture_of(config)
    return {name: tuple(length if axis == "-" else wanted.size(axis) for length, axis in zip(shape, anatomy.axes_of(name), strict=True))
            for name, shape in shapes.items()}


class ParameterCounter:
    """Counts the parameters of models of one family at any dimensions.

    Args:
        shapes: the parameters of one member by canonical name (tied weights once), as `core.models.checkpoints.parameters` gives them.
        config: the plain data of its ``config.json``.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]) -> None:
        anatomy = architecture_of(config)
        self._config = config
        self._known: dict[Dimensions, int] = {}
        self._outer = {name: shape for name, shape in shapes.items() if anatomy.block_of(name) is None}
        self._inner = {name: shape for name, shape in shapes.items() if anatomy.block_of(name) == 0}

    def __call__(self, dimensions: Dimensions) -> int:
        """Parameters, tied weights once."""
        if dimensions not in self._known:
            self._known[dimensions] = self._count(dimensions)
        return self._known[dimensions]

    def _count(self, dimensions: Dimensions) -> int:
        outer, inner = (sum(map(math.prod, shapes_at(part, self._config, dimensions).values())) for part in (self._outer, self._inner))
        return outer + dimensions.layers * inner
